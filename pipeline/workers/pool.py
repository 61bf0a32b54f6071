"""Base class of worker pools. A pool assigns tasks to workers, and reports the end of each task.

`concurrent.futures` is not used for two reasons: it cannot end a single worker, and it does not
report the task of a dead worker. `ProcessPool` and `RayPool` define how workers are
started and ended.
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

Engine = Literal["local", "ray"]
"""Type of the workers: processes on this machine, or Ray actors."""

Work = Callable[[Any], Any]
"""Function from a task to its result."""

Setup = Callable[[], Work]
"""Function that loads the resources of a worker. Each worker process calls it once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerEvent:
    """End of a task or of a worker."""

    kind: Literal["result", "error", "timeout", "death", "setup_failed"]
    """`result`: the task is done. `error`: the task raised an error. `timeout`: the task exceeded
    the time limit, and its worker was killed. `death`: the worker process died. `setup_failed`:
    the set-up of the worker raised an error or did not end."""
    worker: str = ""
    """Name of the worker; empty if its set-up failed."""
    task: Any = None
    result: Any = None
    error: PipelineError | None = None
    """Error from the task or the set-up, if the user can fix its cause; otherwise None."""
    reason: str = ""
    """Cause of the failure in one line, if known."""
    exit_code: int | None = None
    """Exit code of a dead process on this machine; otherwise None."""


class TaskRunner:
    """Runs the set-up and the tasks inside a worker. Errors are returned as events."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._work: Work

    def set_up(self) -> WorkerEvent:
        """Run the set-up; return an event with the name of this worker."""

        def prepare() -> str:
            self._work = self._setup()
            return worker_name()

        return _attempt(prepare)

    def run(self, task: Any) -> WorkerEvent:
        """Run one task."""
        return _attempt(self._work, task)


def _attempt(function: Callable[..., Any], *arguments: Any) -> WorkerEvent:
    try:
        return WorkerEvent(kind="result", result=function(*arguments))
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        cause = (
            error if isinstance(error, PipelineError) else None
        )  # other errors may not be picklable
        return WorkerEvent(kind="error", reason=reason, error=cause)


class WorkerHandle(ABC):
    """Handle for one worker of a pool."""

    def __init__(self) -> None:
        self.name = ""
        self.is_ready = False
        self.task: Any = None
        self.num_tasks = 0
        self.deadline = math.inf

    @abstractmethod
    def send(self, task: Any) -> None:
        """Start a task."""

    @abstractmethod
    def kill(self) -> None:
        """Kill the worker immediately."""


class WorkerPool(ABC):
    """Pool of workers. Each worker runs one task at a time. `submit` starts workers if necessary.

    Tasks wait in the pool until a worker is ready. Therefore no task is lost if a set-up fails,
    and the time limit does not include the set-up.

    Args:
        setup: Set-up function of a worker. The worker process calls it.
        num_workers: Maximum number of workers.
        max_tasks: Number of tasks after which a worker is replaced.
        time_limit_seconds: Maximum duration of a task.
        setup_seconds: Maximum time that tasks wait while no worker is busy.
    """

    _SETUP_NEEDS = ""
    """Hint for the error text if no worker becomes ready."""

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
        """Number of submitted tasks that have not ended."""
        return len(self._waiting) + sum(worker.task is not None for worker in self._workers)

    def submit(self, task: Any) -> None:
        """Submit a task. Requires a positive `num_idle`."""
        self._waiting.append(task)
        self._assign()

    def wait(self, timeout_seconds: float) -> list[WorkerEvent]:
        """Return the next events, or an empty list after the timeout."""
        self._assign()
        first_deadline = min((worker.deadline for worker in self._workers), default=math.inf)
        timeout = min(timeout_seconds, first_deadline - time.monotonic())
        events = []
        for worker, event in self._receive(max(0.0, timeout)):
            events += self._handle(worker, event)
        return [*events, *self._end_late_tasks()]

    def owns(self, worker: str) -> bool:
        """Return True if a worker with this name is or was in this pool."""
        return worker in self._names

    def close(self) -> None:
        """Kill all workers.

        The processes are not ended by an exception, because tasks could catch it.
        """
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
        self._waiting.clear()

    @abstractmethod
    def _start(self) -> WorkerHandle:
        """Start a worker. The first reply of a worker is the event from `TaskRunner.set_up`."""

    @abstractmethod
    def _receive(self, timeout_seconds: float) -> list[tuple[Any, WorkerEvent]]:
        """Wait for events; return pairs of a worker and its event."""

    def _assign(self) -> None:
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
            if event.kind != "result":
                self._remove(worker)
                return [replace(event, kind="setup_failed")]
            worker.is_ready, worker.name = True, event.result
            self._names.add(worker.name)
            return []
        ended = replace(event, worker=worker.name, task=worker.task)
        worker.task, worker.deadline = None, math.inf
        if event.kind == "death" or worker.num_tasks >= self._max_tasks:
            self._remove(worker)
        return [ended]

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
            reason = f"no worker was ready after {self._setup_seconds:.0f} s{self._SETUP_NEEDS}"
            events.append(WorkerEvent(kind="setup_failed", reason=reason))
        return events

    def _remove(self, worker: WorkerHandle) -> None:
        worker.kill()  # an unreachable Ray actor may still run
        self._workers.remove(worker)
