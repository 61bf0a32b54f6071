"""Curves over the epochs, from the history of a run.

Shapes: E epochs.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.number_format import metric_value
from pipeline.figures.base.spec import NothingToDraw
from pipeline.metrics.regression import HIGHER_IS_BETTER
from pipeline.records.metrics_history import MetricsHistory


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """One quantity over the epochs, on the training and on the validation clips."""

    metric: str
    """Name of the quantity: `loss` or a metric."""
    epochs: IntArray
    """Numbers of the epochs, shape (E,)."""
    train: FloatArray | None
    """Values on the training clips during training, with active dropout, shape (E,)."""
    validation: FloatArray | None
    """Values on the validation clips, shape (E,); None for a run without validation."""

    @property
    def decisive(self) -> FloatArray:
        """Validation values, or training values for a run without validation."""
        if self.validation is not None:
            return self.validation
        return np.full(self.epochs.shape, np.nan) if self.train is None else self.train

    @property
    def side(self) -> str:
        """Name of the decisive values: validation or training."""
        return "training" if self.validation is None else "validation"

    @property
    def best(self) -> int | None:
        """Position of the best decisive value; None if no value is finite."""
        if not np.isfinite(self.decisive).any():
            return None
        choose = np.nanargmax if is_better_higher(self.metric) else np.nanargmin
        return int(choose(self.decisive))

    @property
    def is_flat(self) -> bool:
        """Whether all of several epochs have the same decisive value."""
        return len(self.epochs) > 1 and bool((self.decisive == self.decisive[0]).all())

    @property
    def best_epoch(self) -> int | None:
        """Number of the epoch with the best decisive value."""
        return None if self.best is None else int(self.epochs[self.best])

    @property
    def best_text(self) -> str:
        """The best decisive value as text."""
        return metric_value(self.metric, self.best_value)

    @property
    def best_value(self) -> float:
        """Best decisive value; NaN if no value is finite."""
        return float("nan") if self.best is None else float(self.decisive[self.best])


def is_better_higher(metric: str) -> bool:
    """Return whether larger values of a metric, or of the loss, are better."""
    return HIGHER_IS_BETTER.get(metric, False)


def check_epochs(epochs: IntArray) -> None:
    """Check that an epoch has ended.

    Raises:
        NothingToDraw: If none has.
    """
    if not epochs.size:
        raise NothingToDraw("no epoch has ended yet.")


def read_curve(history: MetricsHistory, metric: str, trait: str | None = None) -> Curve:
    """Return a metric over the epochs.

    Args:
        history: The history of a run.
        metric: `loss` or a metric.
        trait: Name of a trait; None for the mean over the traits.

    Raises:
        NothingToDraw: If no epoch has ended, or the history has no such metric.
    """
    check_epochs(history.epoch.epoch_numbers)
    name = metric if trait is None else f"{metric}_{trait}"
    train, validation = (
        values if np.isfinite(values).any() else None
        for values in (history.epoch.training(name), history.epoch.validation(name))
    )
    if train is None and validation is None:
        label = metric if trait is None else f"{metric} of {trait}"
        raise NothingToDraw(f"the history holds no {label}.")
    return Curve(
        metric=metric, epochs=history.epoch.epoch_numbers, train=train, validation=validation
    )
