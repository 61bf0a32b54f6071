"""Progress as text lines, for outputs that are not terminals: pipes, log files, notebooks."""

import time
from typing import Final

import rich.console

LINE_SECONDS: Final = 10.0
"""Minimum time between two progress lines, and before the first line."""


class ProgressLines:
    """Print progress lines to a console that is not a terminal, at most one every ten seconds.

    A step of less than ten seconds prints no line.
    """

    def __init__(self, console: rich.console.Console, *, is_shown: bool = True) -> None:
        self._console = console
        self._is_shown = is_shown and not console.is_terminal
        self._last = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether `show` would print a line now."""
        return self._is_shown and time.monotonic() - self._last >= LINE_SECONDS

    def show(self, line: str) -> None:
        """Print a line, if the last line is older than ten seconds."""
        if self.is_due:
            self.print(line)

    def print(self, line: str) -> None:
        """Print a line in any case. The next progress line follows after ten seconds."""
        self._last = time.monotonic()
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)
