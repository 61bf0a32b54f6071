"""How far an extraction is: a bar for people, now and then a line for logs."""

import time
from types import TracebackType
from typing import Final

import rich.console
import rich.progress

_LINE_SECONDS: Final = 60.0


class ExtractionProgress:
    """Shows how many clips are done, how many failed, and the time left.

    Args:
        num_clips: Clips to be done.
        console: Where to draw; stderr unless given. Without a terminal a line is written
            every minute.
    """

    def __init__(self, num_clips: int, console: rich.console.Console | None = None) -> None:
        self._console = console or rich.console.Console(stderr=True)
        self._num_clips = num_clips
        self._num_done = self._num_failed = 0
        self._began = self._last_line = time.monotonic()
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("clip {task.completed:.0f}/{task.total:.0f}"),
            rich.progress.BarColumn(),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TextColumn("left"),
            rich.progress.TimeRemainingColumn(),
            rich.progress.TextColumn("{task.fields[note]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("clips", total=num_clips, note="")

    def __enter__(self) -> "ExtractionProgress":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def advance(self, *, failed: bool) -> None:
        """Count one clip."""
        self._num_done += 1
        self._num_failed += failed
        rate = self._num_done / max(1e-9, time.monotonic() - self._began)
        note = f"{rate:.2f} clips/s" + (f"  {self._num_failed} failed" if self._num_failed else "")
        self._bar.update(self._task, completed=self._num_done, note=note)
        is_time = time.monotonic() - self._last_line >= _LINE_SECONDS
        if not self._console.is_terminal and is_time:
            self._last_line = time.monotonic()
            line = f"clip {self._num_done}/{self._num_clips}  {note}"
            self._console.print(line, soft_wrap=True, highlight=False, markup=False)
