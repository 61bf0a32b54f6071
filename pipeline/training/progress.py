"""A progress bar for people; silent where nobody watches a terminal."""

from typing import Any

import keras
import rich.console
import rich.progress


class ProgressBar(keras.callbacks.Callback):
    """Shows epochs, the time left, and the newest and best validation score.

    Args:
        num_epochs: Epochs that the run has.
        monitor: Name of the value in the logs that is watched.
        maximize: Whether larger values of it are better.
        best: Best value of the epochs that a resumed run has behind it.
        is_shown: Whether anything is drawn at all.
        console: Where to draw; the terminal of stderr unless given.
    """

    def __init__(
        self,
        num_epochs: int,
        *,
        monitor: str,
        maximize: bool,
        best: float | None = None,
        is_shown: bool = True,
        console: rich.console.Console | None = None,
    ) -> None:
        super().__init__()
        console = console or rich.console.Console(stderr=True)
        self._monitor = monitor
        self._choose = max if maximize else min
        self._best = best
        self._progress = rich.progress.Progress(
            rich.progress.TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"),
            rich.progress.BarColumn(),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TextColumn("left"),
            rich.progress.TimeRemainingColumn(),
            rich.progress.TextColumn("{task.fields[scores]}"),
            console=console,
            disable=not (is_shown and console.is_terminal),
        )
        self._task = self._progress.add_task("epochs", total=num_epochs, scores="")

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: D102
        del logs
        self._progress.start()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: D102
        del logs
        self._progress.update(self._task, completed=epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        logs = logs or {}
        value = logs[self._monitor]
        self._best = value if self._best is None else self._choose(self._best, value)
        watched = "" if self._monitor == "loss" else f"  {self._monitor} {value:.4f}"
        scores = f"training loss {logs['loss']:.4f}{watched}  best {self._best:.4f}"
        self._progress.update(self._task, completed=epoch + 1, scores=scores)

    def close(self) -> None:
        """Give the terminal back, however the training ended."""
        self._progress.stop()
