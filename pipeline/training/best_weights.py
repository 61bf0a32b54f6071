"""The best epoch, kept in memory: for a fit that begins anew when it is killed."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.core.run_log import RunLog


class BestWeights(keras.callbacks.Callback):
    """Stands in for `EpochCheckpoint` where nobody will resume: it writes no file.

    A checkpoint is a dozen syncs to disk an epoch, which costs a short fit more than its steps.

    Args:
        network: The model whose variables are kept.
        monitor: Name of the value in the logs that decides the best epoch.
        maximize: Whether larger values of it are better.
        run_log: Run log of the run; each epoch is final, and gets a `checkpoint` event.
        on_commit: Called after each epoch.
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
        self._best: list[FloatArray] = []
        self.seconds = 0.0
        """Time that keeping the best has taken."""
        self.best_epoch = 0
        self.best_value = float("nan")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: D102
        began = time.perf_counter()
        value = float((logs or {})[self._monitor])
        if self.best_epoch == 0 or (
            value > self.best_value if self._maximize else value < self.best_value
        ):
            self.best_epoch, self.best_value = epoch + 1, value
            self._best = [np.array(variable.numpy()) for variable in self._network.variables]
        self._run_log.log_checkpoint(epoch + 1)
        self.seconds += time.perf_counter() - began
        self._on_commit()

    def restore(self, epoch: int) -> None:
        """Give the network the variables of the best epoch; after the last one it has its own."""
        if epoch == self.best_epoch:
            for variable, array in zip(self._network.variables, self._best, strict=True):
                variable.assign(array)
