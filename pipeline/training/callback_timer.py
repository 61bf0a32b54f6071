"""Measures what the callbacks of a fit cost, apart from training and validation."""

import time
from collections.abc import Sequence
from typing import Any

import keras

from pipeline.training.best_weights import BestWeights
from pipeline.training.callbacks import RecordLog
from pipeline.training.checkpoint import EpochCheckpoint


class EpochEndTimer:
    """Times the ends of epochs, from before the first callback to behind the last.

    Put `first` and `last` at the two ends of the callbacks.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.first = keras.callbacks.LambdaCallback(on_epoch_end=self._begin)
        self.last = keras.callbacks.LambdaCallback(on_epoch_end=self._end)

    def parts(
        self, logs: Sequence[RecordLog], checkpoint: EpochCheckpoint | BestWeights
    ) -> dict[str, float]:
        """Return seconds of this process by what they were spent on."""
        logging = sum(log.seconds for log in logs)
        rest = max(self.seconds - logging - checkpoint.seconds, 0.0)
        return {"logging": logging, "checkpoint": checkpoint.seconds, "callbacks": rest}

    def _begin(self, *_: Any) -> None:
        self._began = time.perf_counter()

    def _end(self, *_: Any) -> None:
        self.seconds += time.perf_counter() - self._began
