"""Tells Optuna how a trial is doing, epoch by epoch, and ends it where it lags behind."""

from typing import Any

import keras
import optuna

from pipeline.core.errors import PrunedError
from pipeline.search.retries import IS_DEFAULT


class EpochReport(keras.callbacks.Callback):
    """Reports each epoch of a trial's fits, once it is logged and safe on disk.

    What is reported is the mean of the fits so far: of those that are complete their best,
    of the running one its value at this epoch.

    Args:
        trial: The trial.
        monitor: Name of the value in the logs that is searched for.
        num_epochs: Epochs of one fit.
        num_parts: Fits of the trial.
        is_reported: Whether Optuna is told; it takes no reports where there are two objectives.
    """

    def __init__(
        self,
        trial: optuna.Trial,
        *,
        monitor: str,
        num_epochs: int,
        num_parts: int = 1,
        is_reported: bool,
    ) -> None:
        super().__init__()
        self._trial = trial
        self._monitor = monitor
        self._num_epochs = num_epochs
        self._num_steps = num_epochs * num_parts
        self._is_reported = is_reported
        self._finished: list[float] = []
        self._newest: tuple[int, float] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        self._newest = (epoch + 1, float((logs or {})[self._monitor]))

    def finish_part(self, best_value: float) -> None:
        """Say that a fit is complete."""
        self._finished.append(best_value)

    def commit(self) -> None:
        """Report the newest epoch.

        Raises:
            PrunedError: If the trial lags behind.
        """
        if self._newest is None or not self._is_reported:
            return
        epoch, value = self._newest
        step = len(self._finished) * self._num_epochs + epoch
        self._trial.report((sum(self._finished) + value) / (len(self._finished) + 1), step)
        # The default configuration is what the best one is compared with: it runs to its end.
        # At its last epoch there is nothing to save, and a value to lose.
        is_spared = self._trial.user_attrs.get(IS_DEFAULT) or step >= self._num_steps
        if not is_spared and self._trial.should_prune():
            raise PrunedError(f"stopped at epoch {epoch} with {self._monitor} {value:.4f}")
