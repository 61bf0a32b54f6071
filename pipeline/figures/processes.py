"""Draw figures in several processes. The import of this module does not import Matplotlib."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from pipeline.core.cores import num_usable_cores
from pipeline.workers.helper_group import HelperGroup

_SETUP: Final = "pipeline.figures.gallery:build_drawing_work"
_MAX_PROCESSES: Final = 3
"""The default figures take about three seconds, so more processes would not save time."""
_PATIENCE_SECONDS: Final = 60.0
"""Time after which a process that does not answer is killed."""


class DrawingProcesses(HelperGroup):
    """Processes that draw figures while this process also draws; as many as there are free cores.

    Each process needs about 150 MB of memory. On a machine with one core, there are no processes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_started = False

    def start(self) -> None:
        """Start the processes, which then import Matplotlib. Later calls have no effect."""
        if not self._is_started:
            self._is_started = True
            self.add_processes(min(num_usable_cores() - 1, _MAX_PROCESSES), _SETUP)

    def draw(
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
        return self.map(
            draw,
            tuple(names),
            request=lambda name: (context, name),
            patience_seconds=_PATIENCE_SECONDS,
        )
