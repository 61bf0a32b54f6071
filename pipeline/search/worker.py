"""A worker: a process that runs trials until it is told to stop."""

import functools
import hashlib
import os
import platform
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import optuna
import psutil

from pipeline.core.interrupts import end_with_leader
from pipeline.core.urls import hide_passwords
from pipeline.search.job import SearchJob
from pipeline.search.sampling import build_pruner, build_sampler, quiet_optuna
from pipeline.tracking.store import print_no_addresses

Objective = Callable[[optuna.Trial], float | tuple[float, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """Leave to run one trial."""

    number: int
    """Number in the order in which trials are handed out; seeds the sampler."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialEnd:
    """What became of a ticket."""

    trial: int | None
    """Number of the trial; None where there was none, as the storage could not be reached."""
    reason: str = ""
    """What is wrong with the storage, or with this worker."""
    is_taken_away: bool = False
    """Whether the trial was given to another worker, as this one had been silent for too long."""


class Worker:
    """Runs the trials of a study in this process.

    Args:
        job: The study.
        objective: What a trial does.
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

    def run(self, ticket: Ticket) -> TrialEnd:
        """Run one trial to its end, whatever that is."""
        self._study.sampler = build_sampler(
            self._job.config.search,
            seed=self._job.config.seed,
            ticket=ticket.number,
            stream=self._job.sampler_stream,
        )
        numbers: list[int] = []
        try:
            self._study.optimize(
                self._try,
                n_trials=1,
                # A trial that fails says why, and the study goes on.
                catch=(Exception,),
                callbacks=[lambda _, trial: numbers.append(trial.number)],
            )
        except Exception as error:
            reason = hide_passwords(f"{type(error).__name__}: {error}").splitlines()[0]
            return TrialEnd(trial=None, reason=reason, is_taken_away=_is_taken_away(error))
        return TrialEnd(trial=numbers[0])

    def _try(self, trial: optuna.Trial) -> float | tuple[float, float]:
        trial.set_user_attr("worker", worker_name())
        return self._objective(trial)


def _is_taken_away(error: Exception) -> bool:
    """Whether Optuna refused the end of a trial because it had been ended by others."""
    is_finished = isinstance(error, optuna.exceptions.UpdateFinishedTrialError)
    return is_finished or "Cannot tell a FAIL trial" in str(error)


def worker_name(process_id: int | None = None) -> str:
    """Return the name of a process of this machine, by default this one, in its trials."""
    return f"{_machine()}-{process_id or os.getpid()}"


def is_of_this_machine(worker: str) -> bool:
    """Return whether a worker is or was a process of this machine since its last start."""
    return worker.rpartition("-")[0] == _machine()


def is_gone(worker: str) -> bool:
    """Return whether a worker is known to be gone; the heartbeats tell for other machines."""
    return is_of_this_machine(worker) and not psutil.pid_exists(int(worker.rpartition("-")[2]))


@functools.cache
def _machine() -> str:
    """Return the host name with a digest of what makes process ids unique.

    Two containers may share the host name, the kernel and even the process ids. They differ in
    the PID namespace. The boot id tells two hosts apart, and one host before and after a restart.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # no Linux
        boot, namespace = str(psutil.boot_time()), str(uuid.getnode())
    digest = hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()
    return f"{platform.node()}-{digest[:8]}"


def start_worker(job: SearchJob, *, num_threads: int, environment: Mapping[str, str]) -> Worker:
    """Return a worker that trains models, in a process that has not used TensorFlow before.

    Args:
        job: The study.
        num_threads: Threads that TensorFlow may use.
        environment: Variables that say where MLflow is, and who may use it.
    """
    from pipeline.core.tensorflow_import import import_tensorflow_quietly

    os.environ.update(environment)
    os.environ.pop("MLFLOW_RUN_ID", None)  # of the run that the search itself is
    print_no_addresses()
    import_tensorflow_quietly()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(num_threads)
    tf.config.threading.set_inter_op_parallelism_threads(num_threads)
    for device in tf.config.list_physical_devices("GPU"):
        # Several workers share it; by default the first would take all of its memory.
        tf.config.experimental.set_memory_growth(device, True)
    from pipeline.search.trial import TrialObjective

    return Worker(job, TrialObjective(job))


def serve(connection: Connection, start: Callable[[], Worker]) -> None:
    """Run a trial for every ticket that comes; end when the other side does."""
    end_with_leader()
    try:
        worker = start()
        while (ticket := connection.recv()) is not None:
            connection.send(worker.run(ticket))
    except (EOFError, BrokenPipeError):
        return  # the coordinator is gone
