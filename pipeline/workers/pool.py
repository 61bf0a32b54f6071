"""The protocol of worker pools: hand tasks to workers, and report what happens to them.

`concurrent.futures` does not name the task that a dead worker held, and cannot end a single
worker. Both engines share this module; they differ in how a worker is started and ended.
"""

import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from pipeline.core.errors import PipelineError
from pipeline.workers.names import worker_name

Work = Callable[[Any], Any]
"""Does one task and returns its result."""

Setup = Callable[[], Work]
"""Loads what a worker needs; called once in the process of each worker."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerEvent:
    """The end of a task, or of a worker."""

    kind: Literal["result", "error", "timeout", "death", "setup_failed"]
    """`result`: the task is done. `error`: the task raised an error. `timeout`: the task took
    too long, and its worker was ended. `death`: the worker ended by itself. `setup_failed`: the
    worker raised an error or died before it was ready."""
    worker: str = ""
    """Name of the worker; empty if it was never ready."""
    task: Any = None
    """The task that the worker held, if any."""
    result: Any = None
    error: PipelineError | None = None
    """The error that task or set-up raised, if it is one that a user can act on."""
    reason: str = ""
    """One line on what went wrong, if known."""
    exit_code: int | None = None
    """Exit code of a dead process of this machine."""


class TaskRunner:
    """The part that runs inside a worker: set up once, then do tasks. Errors become events.

    Args:
        setup: Loads what the worker needs.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._work: Work

    def set_up(self) -> WorkerEvent:
        """Prepare for tasks; the result is the name of this worker."""
        return _attempt(self._prepare)

    def run(self, task: Any) -> WorkerEvent:
        """Do one task."""
        return _attempt(self._work, task)

    def _prepare(self) -> str:
        self._work = self._setup()
        return worker_name()


def _attempt(function: Callable[..., Any], *arguments: Any) -> WorkerEvent:
    try:
        return WorkerEvent(kind="result", result=function(*arguments))
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        cause = error if isinstance(error, PipelineError) else None  # others may not be picklable
        return WorkerEvent(kind="error", reason=reason, error=cause)


class WorkerHandle(ABC):
    """The leader's side of one worker."""

    def __init__(self) -> None:
        self.name = ""
        self.is_ready = False
        self.task: Any = None
        self.num_tasks = 0
        self.deadline = math.inf

    @abstractmethod
    def send(self, task: Any) -> None:
        """Begin a task."""

    @abstractmethod
    def kill(self) -> None:
        """End the worker now."""


class WorkerPool(ABC):
    """Workers that do one task at a time. They start when tasks need them.

    A task waits in the pool until a worker is ready. Thus no task is lost with a worker that
    cannot start, and the time limit does not count the set-up.

    Args:
        setup: Loads what a worker needs, in the process of the worker.
        num_workers: Workers at a time.
        max_tasks: Tasks after which a worker is replaced.
        time_limit_seconds: Longest time for one task.
        setup_seconds: Longest time for which tasks wait while no worker has one.
    """

    _SETUP_NEEDS = ""
    """What a worker may be waiting for, for an error text."""

    def __init__(
        self,
        setup: Setup,
        *,
        num_workers: int,
        max_tasks: float = math.inf,
        time_limit_seconds: float = math.inf,
        setup_seconds: float = math.inf,
    ) -> None:
        self._setup: Final = setup
        self._num_workers: Final = num_workers
        self._max_tasks: Final = max_tasks
        self._time_limit_seconds: Final = time_limit_seconds
        self._setup_seconds: Final = setup_seconds
        self._waiting: deque[Any] = deque()
        self._workers: list[Any] = []
        self._names: set[str] = set()
        self._last_busy = time.monotonic()

    @property
    def num_idle(self) -> int:
        """Number of tasks that can be submitted now."""
        return self._num_workers - self.num_busy

    @property
    def num_busy(self) -> int:
        """Number of tasks that were submitted and have not ended."""
        return len(self._waiting) + sum(worker.task is not None for worker in self._workers)

    def submit(self, task: Any) -> None:
        """Hand in a task; call this only if `num_idle` is positive."""
        self._waiting.append(task)
        self._assign()

    def wait(self, timeout_seconds: float) -> list[WorkerEvent]:
        """Return the next events, or an empty list if none occurs in time."""
        self._assign()
        first_deadline = min((worker.deadline for worker in self._workers), default=math.inf)
        timeout = min(timeout_seconds, first_deadline - time.monotonic())
        events = []
        for worker, event in self._receive(max(0.0, timeout)):
            events += self._handle(worker, event)
        return [*events, *self._end_late_tasks()]

    def owns(self, worker: str) -> bool:
        """Return whether a worker of this name is or was in this pool."""
        return worker in self._names

    def close(self) -> None:
        """End all workers now.

        They are killed: an exception raised from outside can surface in code that swallows it,
        and an idle worker has nothing to save.
        """
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
        self._waiting.clear()

    @abstractmethod
    def _start(self) -> WorkerHandle:
        """Start a worker, which reports the result of `TaskRunner.set_up` first."""

    @abstractmethod
    def _receive(self, timeout_seconds: float) -> list[tuple[Any, WorkerEvent]]:
        """Return the workers that have replied or died, with their events."""

    def _assign(self) -> None:
        """Give waiting tasks to ready workers, and start a worker for each of the others."""
        idle = [worker for worker in self._workers if worker.is_ready and worker.task is None]
        while self._waiting and idle:
            worker = idle.pop()
            worker.task = self._waiting.popleft()
            worker.num_tasks += 1
            worker.deadline = time.monotonic() + self._time_limit_seconds
            worker.send(worker.task)
        num_starting = sum(not worker.is_ready for worker in self._workers)
        for _ in range(len(self._waiting) - num_starting):
            self._workers.append(self._start())

    def _handle(self, worker: WorkerHandle, event: WorkerEvent) -> list[WorkerEvent]:
        if not worker.is_ready:
            return self._handle_setup(worker, event)
        ended = replace(event, worker=worker.name, task=worker.task)
        worker.task, worker.deadline = None, math.inf
        if event.kind == "death" or worker.num_tasks >= self._max_tasks:
            self._remove(worker)
        return [ended]

    def _handle_setup(self, worker: WorkerHandle, event: WorkerEvent) -> list[WorkerEvent]:
        if event.kind != "result":
            self._remove(worker)
            return [replace(event, kind="setup_failed")]
        worker.is_ready = True
        worker.name = event.result
        self._names.add(worker.name)
        return []

    def _end_late_tasks(self) -> list[WorkerEvent]:
        now = time.monotonic()
        late = [worker for worker in self._workers if now >= worker.deadline]
        events = [WorkerEvent(kind="timeout", worker=each.name, task=each.task) for each in late]
        is_busy = any(worker.task is not None for worker in self._workers)
        for worker in late:
            self._remove(worker)
        if is_busy or not self._waiting:
            self._last_busy = now
        elif now - self._last_busy > self._setup_seconds:
            reason = f"none was ready after {self._setup_seconds:.0f} s{self._SETUP_NEEDS}"
            events.append(WorkerEvent(kind="setup_failed", reason=reason))
        return events

    def _remove(self, worker: WorkerHandle) -> None:
        worker.kill()  # a lost Ray actor may still run
        self._workers.remove(worker)
