"""Helper processes that share the tasks of a `map` call with this process."""

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from pipeline.workers.helper_process import HelperProcess
from pipeline.workers.pool import WorkerEvent

_Task = TypeVar("_Task")
_Replies = queue.SimpleQueue[tuple[_Task, WorkerEvent]]


class HelperGroup:
    """Helper processes with the same set-up. They make `map` faster, and are never necessary.

    Processes that end early, or cannot be started, only make `map` slower.

    Use an object as context manager: its processes end with the `with` block.
    """

    def __init__(self) -> None:
        self._processes: list[HelperProcess] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            for process in self._processes:
                process.interrupt()
            for process in self._processes:
                process.close()
        except BaseException:
            for process in self._processes:
                process.kill()
            raise

    def add_processes(self, number: int, setup: str, *arguments: Any) -> None:
        """Start processes. `setup` and `arguments` are those of `HelperProcess`."""
        with contextlib.suppress(OSError):  # e.g. too many processes
            for _ in range(number):
                self._processes.append(HelperProcess(setup, *arguments))

    def map(
        self,
        work: Callable[[_Task], Any],
        tasks: Sequence[_Task],
        *,
        request: Callable[[_Task], Any] = lambda task: task,
        on_result: Callable[[_Task, Any], None] = lambda task, result: None,
        patience_seconds: float | None = None,
    ) -> dict[_Task, Any]:
        """Return the result of each task. A process gets a task when its set-up has ended.

        A process whose task fails or does not end gets no other task. This process then does the
        work again, so that an error is raised here.

        Args:
            work: Function that does a task in this process.
            tasks: Different tasks, in the order in which they are begun.
            request: Function from a task to the argument of `HelperProcess.call`.
            on_result: Function to call in this process with each task of another process, and
                with its result.
            patience_seconds: Maximum wait for the other processes, which are then killed. None: no
                limit.

        Raises:
            Exception: Any error that `work` raises.
        """
        waiting, failed = deque(tasks), deque[_Task]()
        replies: _Replies[_Task] = queue.SimpleQueue()
        for process in self._processes:
            inputs = (process, waiting, request, replies)
            threading.Thread(target=_delegate, args=inputs, daemon=True).start()
        results: dict[_Task, Any] = {}
        try:
            while len(results) < len(tasks):
                taken = _take(failed) or _take(waiting)
                if taken:
                    results[taken[0]] = work(taken[0])
                for task, event in self._received(replies, patience_seconds, waits=not taken):
                    if event.kind == "result":
                        results[task] = event.result
                        on_result(task, event.result)
                    else:
                        failed.append(task)
        finally:
            waiting.clear()
        return {task: results[task] for task in tasks}

    def _received(
        self, replies: _Replies[_Task], patience_seconds: float | None, *, waits: bool
    ) -> Iterator[tuple[_Task, WorkerEvent]]:
        """Yield the replies that have arrived. If `waits` is true, wait for the first reply."""
        try:
            if waits:
                yield replies.get(timeout=patience_seconds)
        except queue.Empty:
            for process in self._processes:
                process.kill()  # `_delegate` then replies that the process has ended
        while not replies.empty():
            yield replies.get()


def _delegate(
    process: HelperProcess,
    waiting: deque[_Task],
    request: Callable[[_Task], Any],
    replies: _Replies[_Task],
) -> None:
    event = process.wait_for_setup()
    while event.kind == "result" and (taken := _take(waiting)):
        event = process.call(request(taken[0]))
        replies.put((taken[0], event))


def _take(tasks: deque[_Task]) -> tuple[_Task] | tuple[()]:
    """Remove the first task. Several threads may share the tasks."""
    try:
        return (tasks.popleft(),)
    except IndexError:
        return ()
