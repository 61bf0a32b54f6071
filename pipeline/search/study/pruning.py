"""Tells Optuna how a trial is doing, epoch by epoch, and ends it where it lags behind."""

from typing import Any

import keras
import optuna

from pipeline.core.errors import PrunedError
from pipeline.search.study.retries import IS_DEFAULT


class EpochReport(keras.callbacks.Callback):
    """Reports each epoch of a trial's fits, once it is logged and safe on disk.

    What is reported is the mean of the fits so far: of those that are complete their best,
    of the running one its value at this epoch. Every fit has as many steps as the longest of any
    trial: one that ends early keeps its best for the rest of them, so that trials are compared
    at like points of like fits.

    Args:
        trial: The trial.
        monitor: Name of the value in the logs that is searched for.
        num_epochs: Epochs of one fit of this trial, at the most.
        num_steps: Epochs of one fit of any trial, at the most.
        num_parts: Fits of the trial.
        is_reported: Whether Optuna is told; it takes no reports where there are two objectives.
    """

    def __init__(
        self,
        trial: optuna.Trial,
        *,
        monitor: str,
        num_epochs: int,
        num_steps: int,
        num_parts: int = 1,
        is_reported: bool,
    ) -> None:
        super().__init__()
        self._trial = trial
        self._monitor = monitor
        self._num_epochs = num_epochs
        self._num_steps = num_steps
        self._num_parts = num_parts
        self._is_reported = is_reported
        self._finished: list[float] = []
        self._newest: tuple[int, float] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        self._newest = (epoch + 1, float((logs or {})[self._monitor]))

    def finish_part(self, best_value: float) -> None:
        """Say that a fit is complete.

        Raises:
            PrunedError: If there are more to come, and the trial lags behind.
        """
        epoch, _ = self._newest or (0, best_value)
        self._finished.append(best_value)
        if epoch < self._num_steps and len(self._finished) < self._num_parts:
            mean = sum(self._finished) / len(self._finished)
            self._report(mean, len(self._finished) * self._num_steps)
            self._prune(f"after {len(self._finished)} fits of {self._num_parts}", mean)

    def commit(self) -> None:
        """Report the newest epoch.

        Raises:
            PrunedError: If the trial lags behind.
        """
        if self._newest is None:
            return
        epoch, value = self._newest
        step = len(self._finished) * self._num_steps + epoch
        self._report((sum(self._finished) + value) / (len(self._finished) + 1), step)
        # At its last epoch there is nothing to save, and a value to lose.
        is_last_fit = len(self._finished) == self._num_parts - 1
        if not (is_last_fit and epoch >= self._num_epochs):
            self._prune(f"at epoch {epoch}", value)

    def _report(self, value: float, step: int) -> None:
        if self._is_reported:
            self._trial.report(value, step)

    def _prune(self, when: str, value: float) -> None:
        # The default configuration is what the best one is compared with: it runs to its end.
        is_spared = not self._is_reported or self._trial.user_attrs.get(IS_DEFAULT)
        if not is_spared and self._trial.should_prune():
            raise PrunedError(f"stopped {when} with {self._monitor} {value:.4f}")
