"""Stops a run whose loss is no longer a number, and says where that began."""

import math
from typing import Any

import keras
import numpy as np

from pipeline.core.errors import TrainingError

_CURE = "Lower training.learning_rate or training.gradient_clip_norm."


class NonFiniteLossGuard(keras.callbacks.Callback):
    """Raises as soon as a loss is NaN or infinite.

    It comes before the callbacks that record and compare epochs: NaN is neither better
    nor worse than a number.

    Raises:
        TrainingError: With the epoch and the step of the first such loss.
    """

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: D102
        del logs
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        del batch
        if logs and not math.isfinite(float(logs["loss"])):
            losses = self.model.read_trace().loss
            step = int(np.flatnonzero(~np.isfinite(losses))[0]) + 1
            raise TrainingError(
                f"The loss became {losses[step - 1]} in epoch {self._epoch}, step {step}. {_CURE}"
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        value = (logs or {}).get("val_loss", 0.0)
        if not math.isfinite(value):
            raise TrainingError(
                f"The validation loss became {value} in epoch {epoch + 1}, "
                f"while the loss of every step was finite. {_CURE}"
            )
