"""Run trials inside a worker process."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import optuna

from pipeline.core.urls import hide_passwords
from pipeline.search.study.sampling import build_pruner, build_sampler, quiet_optuna
from pipeline.search.study.storage import open_storage
from pipeline.search.study_spec import StudySpec
from pipeline.tracking.mlflow_settings import hide_run_urls
from pipeline.workers.names import worker_name

Objective = Callable[[optuna.Trial], float | tuple[float, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialOutcome:
    """Result of one call of `Worker.run`."""

    trial: int | None
    """Number of the trial; None if the storage failed or `was_reassigned` is True."""
    reason: str = ""
    """Error message if `trial` is None."""
    was_reassigned: bool = False
    """True if another worker got the trial, because the heartbeats of this worker were late."""


class Worker:
    """Worker that runs trials of a study in this process."""

    def __init__(self, spec: StudySpec, objective: Objective) -> None:
        quiet_optuna()
        self._spec = spec
        self._objective = objective
        self._study = optuna.load_study(
            study_name=spec.study_name,
            storage=open_storage(spec),
            pruner=build_pruner(spec.config.search, spec.space.max_epochs * spec.num_fits),
        )

    def run(self, slot: int) -> TrialOutcome:
        """Run one trial. The seed of the sampler depends on `slot`.

        If the trial fails, Optuna stores the failure in the study. This method raises no error.
        """
        config, stream = self._spec.config, self._spec.sampler_stream
        self._study.sampler = build_sampler(
            config.search, seed=config.seed, slot=slot, stream=stream
        )
        numbers: list[int] = []
        try:
            self._study.optimize(
                self._evaluate,
                n_trials=1,
                catch=(Exception,),
                callbacks=[lambda _, trial: numbers.append(trial.number)],
            )
        except Exception as error:
            reason = hide_passwords(f"{type(error).__name__}: {error}").splitlines()[0]
            # Optuna rejects the result of a trial that has already ended.
            is_finished = isinstance(error, optuna.exceptions.UpdateFinishedTrialError)
            was_reassigned = is_finished or "Cannot tell a FAIL trial" in reason
            return TrialOutcome(trial=None, reason=reason, was_reassigned=was_reassigned)
        return TrialOutcome(trial=numbers[0])

    def _evaluate(self, trial: optuna.Trial) -> float | tuple[float, float]:
        trial.set_user_attr("worker", worker_name())
        return self._objective(trial)


def start_worker(
    spec: StudySpec, *, num_threads: int, environment: Mapping[str, str]
) -> Callable[[int], TrialOutcome]:
    """Set up this process and return a function that runs one trial.

    Call this function before the process uses TensorFlow. `environment` contains the environment
    variables for MLflow: address and credentials.
    """
    from pipeline.core.tensorflow_import import import_tensorflow_quietly

    os.environ.update(environment)
    os.environ.pop("MLFLOW_RUN_ID", None)  # this is the MLflow run of the study, not of a trial
    hide_run_urls()
    import_tensorflow_quietly(runs_user_code=False)
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(num_threads)
    tf.config.threading.set_inter_op_parallelism_threads(num_threads)
    for device in tf.config.list_physical_devices("GPU"):
        # By default, the first worker on a GPU reserves all memory of the GPU.
        tf.config.experimental.set_memory_growth(device, True)
    from pipeline.search.trial import TrialObjective

    return Worker(spec, TrialObjective(spec)).run
