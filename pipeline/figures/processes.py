"""Draw figures in several processes. The import of this module does not import Matplotlib."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final, Self

from pipeline.core.cores import num_usable_cores
from pipeline.workers.helper_process import HelperProcess

_SETUP: Final = "pipeline.figures.gallery:build_drawing_work"
_MAX_PROCESSES: Final = 3
"""The default figures take about three seconds, so more processes would not save time."""
_PATIENCE_SECONDS: Final = 60.0
"""Time after which a process that does not answer is killed."""


class DrawingProcesses:
    """Processes that draw figures while this process also draws; as many as there are free cores.

    Each process needs about 150 MB of memory. On a machine with one core, there are no processes.
    Processes that end early, or cannot be started, only make drawing slower.

    Use an object as context manager: its processes end with the `with` block.
    """

    def __init__(self) -> None:
        self._processes: list[HelperProcess] = []
        self._is_started = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.close()

    def start(self) -> None:
        """Start the processes, which then import Matplotlib. Later calls have no effect."""
        if self._is_started:
            return
        self._is_started = True
        with contextlib.suppress(OSError):  # e.g. too many processes
            for _ in range(min(num_usable_cores() - 1, _MAX_PROCESSES)):
                self._processes.append(HelperProcess(_SETUP))

    def map(
        self, draw: Callable[[str], Any], names: Iterable[str], context: bytes
    ) -> dict[str, Any]:
        """Return the results of `draw` by name. Some of the calls are made in other processes.

        Args:
            draw: Function that draws the figure with a given name in this process.
            names: Names of the figures.
            context: All other inputs of the figures, for the other processes.

        Raises:
            Exception: Any error that `draw` raises. If `draw` fails in another process, it is
                called again in this process.
        """
        names = tuple(names)
        waiting = deque(names)
        results: dict[str, Any] = {}

        def delegate(process: HelperProcess) -> None:
            for name in _taken_from(waiting):
                event = process.call((context, name))
                if event.kind == "death":
                    return
                if event.kind == "result":
                    results[name] = event.result

        threads = [
            (process, threading.Thread(target=delegate, args=(process,), daemon=True))
            for process in self._processes
        ]
        for _, thread in threads:
            thread.start()
        results.update((name, draw(name)) for name in _taken_from(waiting))
        for process, thread in threads:
            thread.join(_PATIENCE_SECONDS)
            if thread.is_alive():
                process.kill()
                thread.join()
        return {name: results[name] if name in results else draw(name) for name in names}


def _taken_from(waiting: deque[str]) -> Iterable[str]:
    """Remove and yield the names one by one. Several threads may share the names."""
    with contextlib.suppress(IndexError):
        while True:
            yield waiting.popleft()
