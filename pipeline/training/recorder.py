"""Record the values of each epoch in the run log."""

import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from pipeline.core.run_log import RunLog
from pipeline.records.epochs import EpochRecord, StepRecords, TraitScores, to_content
from pipeline.training.instrumented_model import StepTrace


class EpochRecorder(keras.callbacks.Callback):
    """Record each epoch. This callback must precede the callbacks that use its `records`.

    If a run is resumed, the argument `records` contains its earlier epochs. If the
    training of an earlier epoch is repeated, its record does not change.
    """

    def __init__(self, run_log: RunLog, records: Sequence[EpochRecord]) -> None:
        super().__init__()
        self.records = list(records)
        self._run_log = run_log

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: D102
        self._train_metrics: TraitScores | None = None
        self._validation_seconds = 0.0
        self._began = time.perf_counter()
        self._began_at = time.time()

    def on_test_begin(self, logs: Any = None) -> None:  # noqa: D102
        # Validation resets the running moments, so the training metrics are read first.
        self._end_training_part()
        self._validation_began = time.perf_counter()

    def on_test_end(self, logs: Any = None) -> None:  # noqa: D102
        self._validation_seconds = time.perf_counter() - self._validation_began

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        logs = logs if logs is not None else {}
        if epoch < len(self.records):
            logs.update(self.records[epoch].logs())
            return
        has_validation = "val_loss" in logs
        if self._train_metrics is None:
            self._end_training_part()
        record = EpochRecord(
            epoch=epoch + 1,
            loss=float(logs["loss"]),
            metrics=self._train_metrics or {},
            val_loss=float(logs["val_loss"]) if has_validation else None,
            val_metrics=self.model.moments.trait_metrics() if has_validation else None,
            learning_rate=self._steps.learning_rate[-1],
            train_seconds=self._train_seconds,
            validation_seconds=self._validation_seconds,
            steps=self._steps,
        )
        self.records.append(record)
        self._run_log.log_epoch(to_content(record))
        # `logs` then contains the names that later callbacks and the Keras history use.
        logs.update(record.logs())

    def _end_training_part(self) -> None:
        self._train_seconds = time.perf_counter() - self._began
        self._train_metrics = self.model.moments.trait_metrics()
        trace: StepTrace = self.model.read_trace()
        previous_end = np.concatenate([[self._began_at], trace.end[:-1]])
        self._steps = StepRecords(
            first_step=self.records[-1].last_step + 1 if self.records else 1,
            loss=trace.loss.tolist(),
            mae=trace.mae.tolist(),
            mse=trace.mse.tolist(),
            learning_rate=trace.learning_rate.tolist(),
            seconds=(trace.end - trace.begin).tolist(),
            wait_seconds=np.maximum(trace.begin - previous_end, 0.0).tolist(),
            time_ms=(trace.end * 1000).astype(np.int64).tolist(),
        )
