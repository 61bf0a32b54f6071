"""Run trials inside a worker process."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import optuna

from pipeline.core.urls import hide_passwords
from pipeline.search.study.sampling import build_pruner, build_sampler, quiet_optuna
from pipeline.search.study_spec import SearchJob
from pipeline.tracking.store import hide_run_urls
from pipeline.workers.names import worker_name

Objective = Callable[[optuna.Trial], float | tuple[float, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSlot:
    """Permission to run one trial."""

    number: int
    """Position in the order in which trials are handed out; seeds the sampler."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialOutcome:
    """Result of one trial slot."""

    trial: int | None
    """Number of the trial; None if there was none because the storage could not be reached."""
    reason: str = ""
    """The error of the storage or of this worker."""
    was_reassigned: bool = False
    """Whether another worker got the trial, because this one sent no heartbeats."""


class Worker:
    """Runs trials of a study in this process.

    Args:
        job: The study.
        objective: Runs one trial and returns its value.
    """

    def __init__(self, job: SearchJob, objective: Objective) -> None:
        quiet_optuna()
        self._job = job
        self._objective = objective
        self._study = optuna.load_study(
            study_name=job.study_name,
            storage=job.open_storage(),
            pruner=build_pruner(
                job.config.search, num_epochs=job.space.most_epochs * job.num_parts
            ),
        )

    def run(self, slot: TrialSlot) -> TrialOutcome:
        """Run one trial. A failure of the trial is recorded in the study and raises no error."""
        self._study.sampler = build_sampler(
            self._job.config.search,
            seed=self._job.config.seed,
            slot=slot.number,
            stream=self._job.sampler_stream,
        )
        numbers: list[int] = []
        try:
            self._study.optimize(
                self._try,
                n_trials=1,
                catch=(Exception,),  # a failed trial records its reason, and the study goes on
                callbacks=[lambda _, trial: numbers.append(trial.number)],
            )
        except Exception as error:
            reason = hide_passwords(f"{type(error).__name__}: {error}").splitlines()[0]
            return TrialOutcome(trial=None, reason=reason, was_reassigned=_was_reassigned(error))
        return TrialOutcome(trial=numbers[0])

    def _try(self, trial: optuna.Trial) -> float | tuple[float, float]:
        trial.set_user_attr("worker", worker_name())
        return self._objective(trial)


def _was_reassigned(error: Exception) -> bool:
    """Return whether Optuna rejected the end of a trial that others had ended already."""
    is_finished = isinstance(error, optuna.exceptions.UpdateFinishedTrialError)
    return is_finished or "Cannot tell a FAIL trial" in str(error)


def start_worker(
    job: SearchJob, *, num_threads: int, environment: Mapping[str, str]
) -> Callable[[TrialSlot], TrialOutcome]:
    """Return a function that runs a trial; call this in a process that has not used TensorFlow.

    Args:
        job: The study.
        num_threads: Threads that TensorFlow may use.
        environment: Variables with the address and the credentials of MLflow.
    """
    from pipeline.core.tensorflow_import import import_tensorflow_quietly

    os.environ.update(environment)
    os.environ.pop("MLFLOW_RUN_ID", None)  # the run of the whole search
    hide_run_urls()
    import_tensorflow_quietly()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(num_threads)
    tf.config.threading.set_inter_op_parallelism_threads(num_threads)
    for device in tf.config.list_physical_devices("GPU"):
        # Several workers share a GPU; by default the first would take all of its memory.
        tf.config.experimental.set_memory_growth(device, True)
    from pipeline.search.trial import TrialObjective

    return Worker(job, TrialObjective(job)).run
