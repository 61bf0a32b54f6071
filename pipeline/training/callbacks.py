"""Callbacks of a fit: JSON logs, loss check, timing, progress bar.

The JSON logs are rewritten atomically after every epoch. In the list of callbacks, an
`EpochRecorder` must precede the callbacks that write the logs.
"""

import functools
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import rich.console
import rich.progress

from pipeline.core.errors import TrainingError
from pipeline.core.files import write_json
from pipeline.core.progress_lines import ProgressLines
from pipeline.records.metrics_history import history_content, learning_rate_content
from pipeline.records.time_logs import time_content
from pipeline.training.best_epoch import BestEpoch
from pipeline.training.recorder import EpochRecorder

_FIX = "Lower training.learning_rate or training.gradient_clip_norm."


class RecordLog(keras.callbacks.Callback):
    """Base class of callbacks that write one JSON log.

    The JSON log contains every `batch_log_frequency`-th training step. The run log contains
    every training step.
    """

    file_name: ClassVar[str]
    content: ClassVar[Callable[..., dict[str, Any]]]

    def __init__(
        self, log_dir: str | Path, recorder: EpochRecorder, *, batch_log_frequency: int = 1
    ) -> None:
        super().__init__()
        self.path = Path(log_dir) / self.file_name
        self.seconds = 0.0
        """Time for writing the JSON log, in seconds."""
        self._recorder = recorder
        self._frequency = batch_log_frequency

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: D102
        self.write()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: D102
        self.write()

    def write(self) -> None:
        """Write the records of all epochs so far."""
        began = time.perf_counter()
        content = type(self).content(self._recorder.records, frequency=self._frequency)
        write_json(self.path, content)
        self.seconds += time.perf_counter() - began


class PerformanceMonitorCallback(RecordLog):
    """Write `metrics_history.json`: losses and metrics of epochs and batches."""

    file_name = "metrics_history.json"
    content = staticmethod(history_content)


class TimeTrackingCallback(RecordLog):
    """Write `time_logs.json`: measured times of epochs and batches."""

    file_name = "time_logs.json"
    content = staticmethod(time_content)


class LearningRateTrackerCallback(RecordLog):
    """Write `lr_logs.json`: the learning rate of every epoch, and whether this rate was reduced."""

    file_name = "lr_logs.json"
    content = staticmethod(learning_rate_content)


class NonFiniteLossGuard(keras.callbacks.Callback):
    """Stop training if a loss is NaN or infinite.

    The checks `<` and `>` are always False for NaN. Therefore this callback must precede the
    callbacks that record or compare losses.

    Raises:
        TrainingError: If a loss is not finite, with the epoch and, in training, the step.
    """

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: D102
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        if logs and not math.isfinite(float(logs["loss"])):
            losses = self.model.read_trace().loss
            step = int(np.flatnonzero(~np.isfinite(losses))[0]) + 1
            raise TrainingError(
                f"The loss became {losses[step - 1]} in epoch {self._epoch}, step {step}. {_FIX}"
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        value = (logs or {}).get("val_loss", 0.0)
        if not math.isfinite(value):
            raise TrainingError(
                f"The validation loss became {value} in epoch {epoch + 1}, "
                f"although the loss of every training step was finite. {_FIX}"
            )


class EpochEndTimer:
    """Measure the time between the callbacks `first` and `last` at the end of each epoch."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.first = keras.callbacks.LambdaCallback(on_epoch_end=self._begin)
        self.last = keras.callbacks.LambdaCallback(on_epoch_end=self._end)

    def parts(self, logs: Sequence[RecordLog], checkpoint: BestEpoch) -> dict[str, float]:
        """Return the times in this process, in seconds: logs, checkpoints, other callbacks."""
        logging = sum(log.seconds for log in logs)
        rest = max(self.seconds - logging - checkpoint.seconds, 0.0)
        return {"logging": logging, "checkpoint": checkpoint.seconds, "callbacks": rest}

    def _begin(self, *_: Any) -> None:
        self._began = time.perf_counter()

    def _end(self, *_: Any) -> None:
        self.seconds += time.perf_counter() - self._began


class ProgressBar(keras.callbacks.Callback):
    """Show the progress: epochs, times, training loss, monitored values.

    A terminal shows a bar. Other outputs get a line every ten seconds. For a resumed run, `best` is
    the best monitored value of the earlier epochs.
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
            rich.progress.TextColumn("remaining"),
            rich.progress.TimeRemainingColumn(),
            rich.progress.TextColumn("{task.fields[scores]}"),
            console=console,
            disable=not (is_shown and console.is_terminal),
        )
        self._task = self._progress.add_task("epochs", total=num_epochs, scores="")
        self._build_lines = functools.partial(ProgressLines, console, is_shown=is_shown)
        self._lines = self._build_lines()
        self._num_epochs = num_epochs

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: D102
        self._progress.start()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: D102
        self._epoch = epoch
        # Steps are shown only if one epoch takes long.
        self._step_lines = self._build_lines()
        self._progress.update(self._task, completed=epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        if self._step_lines.is_due:
            num_steps = self.params["steps"]
            step = f"step {min(batch + 1, num_steps)}/{num_steps}"
            self._step_lines.show(f"epoch {self._epoch + 1}/{self._num_epochs}  {step}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        logs = logs or {}
        value = logs[self._monitor]
        self._best = value if self._best is None else self._choose(self._best, value)
        monitored = "" if self._monitor == "loss" else f"  {self._monitor} {value:.4f}"
        scores = f"training loss {logs['loss']:.4f}{monitored}  best {self._best:.4f}"
        self._progress.update(self._task, completed=epoch + 1, scores=scores)
        self._lines.show(f"epoch {epoch + 1}/{self._num_epochs}  {scores}")

    def close(self) -> None:
        """Stop the display. This call is necessary even if training fails."""
        self._progress.stop()
