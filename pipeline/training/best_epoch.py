"""Select the best epoch of a fit, and keep its weights."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.core.run_log import RunLog


class BestEpoch(keras.callbacks.Callback):
    """Base class of callbacks that select the best epoch by `monitor` and save its variables.

    After each epoch, a `checkpoint` event is written to the run log, then `on_commit` is called.
    """

    def __init__(
        self,
        *,
        network: keras.Model,
        monitor: str,
        maximize: bool,
        run_log: RunLog,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._network = network
        self._monitor = monitor
        self._maximize = maximize
        self._run_log = run_log
        self._on_commit = on_commit
        self.seconds = 0.0
        """Total time that saving took in this process, in seconds."""
        self.best_epoch = 0
        self.best_value = float("nan")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: D102
        began = time.perf_counter()
        value = float((logs or {})[self._monitor])
        if self.best_epoch == 0 or (
            value > self.best_value if self._maximize else value < self.best_value
        ):
            self.best_epoch, self.best_value = epoch + 1, value
        self._save(epoch + 1)
        self.seconds += time.perf_counter() - began
        self._on_commit()

    def restore(self, epoch: int) -> None:
        """Restore the variables that the network had at the end of a saved epoch."""
        raise NotImplementedError

    def _save(self, epoch: int) -> None:
        raise NotImplementedError


class BestWeights(BestEpoch):
    """Keep the weights of the best epoch in memory, for a fit that is never resumed.

    `EpochCheckpoint` writes about twelve files per epoch. In a short fit, this takes longer than
    the training steps.
    """

    _best: list[FloatArray]

    def _save(self, epoch: int) -> None:
        if epoch == self.best_epoch:
            self._best = [np.array(variable.numpy()) for variable in self._network.variables]
        self._run_log.log_checkpoint(epoch)

    def restore(self, epoch: int) -> None:
        """Restore the variables of `epoch`, which must be the best or the last epoch.

        At the end of a fit, the network already has the variables of the last epoch.
        """
        if epoch == self.best_epoch:
            for variable, array in zip(self._network.variables, self._best, strict=True):
                variable.assign(array)
