"""The three logs that tools of the field read, written anew after every epoch.

Each callback needs an `EpochRecorder` before it in the list; it writes what the recorder
measured, atomically, so that a reader (or a kill) never meets half a file.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import keras

from pipeline.core.files import write_json
from pipeline.records.metrics_history import history_content, learning_rate_content
from pipeline.records.time_logs import time_content
from pipeline.training.recorder import EpochRecorder


class RecordLog(keras.callbacks.Callback):
    """Writes one JSON log from the records of the epochs.

    Args:
        log_dir: Directory of the log.
        recorder: The recorder whose records are logged.
        batch_log_frequency: Every how many steps a step is logged; the run log keeps all.
    """

    file_name: ClassVar[str]
    content: ClassVar[Callable[..., dict[str, Any]]]

    def __init__(
        self, log_dir: str | Path, recorder: EpochRecorder, *, batch_log_frequency: int = 1
    ) -> None:
        super().__init__()
        self.path = Path(log_dir) / self.file_name
        self.seconds = 0.0
        """Time that writing has taken so far."""
        self._recorder = recorder
        self._frequency = batch_log_frequency

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: D102
        del logs
        self.write()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: D102
        del epoch, logs
        self.write()

    def write(self) -> None:
        """Write what has been recorded so far."""
        began = time.perf_counter()
        content = type(self).content(self._recorder.records, frequency=self._frequency)
        write_json(self.path, content)
        self.seconds += time.perf_counter() - began


class PerformanceMonitorCallback(RecordLog):
    """Writes `metrics_history.json`: losses and metrics of every epoch and of every batch."""

    file_name = "metrics_history.json"
    content = staticmethod(history_content)


class TimeTrackingCallback(RecordLog):
    """Writes `time_logs.json`: measured seconds of every epoch and of every batch."""

    file_name = "time_logs.json"
    content = staticmethod(time_content)


class LearningRateTrackerCallback(RecordLog):
    """Writes `lr_logs.json`: the learning rate of every epoch, and whether it was cut there."""

    file_name = "lr_logs.json"
    content = staticmethod(learning_rate_content)
