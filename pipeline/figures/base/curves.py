"""Functions to read, draw and describe curves of loss and metrics over the epochs.

Shapes: E epochs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.number_format import METRIC_LABELS, METRIC_NAMES, metric_value
from pipeline.figures.base.layout import line_handle, set_note, set_ticks, set_value_axis
from pipeline.figures.base.spec import NothingToDraw, data_or_none
from pipeline.figures.base.style import MUTED, TRAIN_COLOUR, VALIDATION_COLOUR, WARNING_COLOUR
from pipeline.metrics.regression import HIGHER_IS_BETTER
from pipeline.records.metrics_history import MetricsHistory

_MAX_MARKED_EPOCHS: Final = 25

_LOG_SCALE_RATIO: Final = 10.0
"""Minimum ratio of the largest to the smallest value for a logarithmic axis."""

_MAX_RANGE_RATIO: Final = 20.0
"""If the first epochs extend the y range by more than this factor, their values are cut off."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Loss or one metric over the epochs."""

    metric: str
    """`loss`, or the name of a metric."""
    epochs: IntArray
    """Epoch numbers, shape (E,)."""
    train: FloatArray | None
    """Values on the training clips, with active dropout, shape (E,); None if not logged."""
    validation: FloatArray | None
    """Values on the validation clips, shape (E,); None for a run without validation."""
    saved_epoch: int | None = None
    """Epoch of the saved model, 0 for the model before training; None if unknown."""

    @property
    def sample(self) -> str:
        """Clips of the curve, for the title of a figure."""
        subsets = (("training", self.train), ("validation", self.validation))
        return f"{' and '.join(name for name, values in subsets if values is not None)} clips"

    @property
    def saved(self) -> int | None:
        """Index of the epoch of the saved model; None if unknown or before training."""
        found = np.flatnonzero(self.epochs == self.saved_epoch)
        return int(found[0]) if found.size else None

    @property
    def subset(self) -> str:
        """Subset that determines the best epoch: `validation`, or `training` without validation."""
        return "training" if self.validation is None else "validation"

    @property
    def values(self) -> FloatArray:
        """Values on `subset`, shape (E,)."""
        if self.validation is not None:
            return self.validation
        return np.full(self.epochs.shape, np.nan) if self.train is None else self.train

    @property
    def best(self) -> int | None:
        """Index of the best value; None if no value is finite."""
        if not np.isfinite(self.values).any():
            return None
        choose = np.nanargmax if HIGHER_IS_BETTER.get(self.metric) else np.nanargmin
        return int(choose(self.values))

    @property
    def best_epoch(self) -> int | None:
        """Number of the epoch with the best value."""
        return None if self.best is None else int(self.epochs[self.best])

    @property
    def best_value(self) -> float:
        """Best value; NaN if no value is finite."""
        return float("nan") if self.best is None else float(self.values[self.best])

    @property
    def best_text(self) -> str:
        """Best value as text."""
        return metric_value(self.metric, self.best_value)

    @property
    def is_flat(self) -> bool:
        """True if there are several epochs and all values are equal."""
        return len(self.epochs) > 1 and bool((self.values == self.values[0]).all())

    @property
    def is_logarithmic(self) -> bool:
        """True if the metric is loss or MSE and `needs_log_scale` is true for its values."""
        subsets = [values for values in (self.train, self.validation) if values is not None]
        return self.metric in {"loss", "mse"} and needs_log_scale(np.concatenate(subsets))


def needs_log_scale(values: FloatArray) -> bool:
    """Return True if all values are positive and the largest is at least 10 times the smallest."""
    finite = values[np.isfinite(values)]
    return finite.size > 0 and bool(finite.max() >= _LOG_SCALE_RATIO * finite.min() > 0)


def check_epochs(epochs: IntArray) -> None:
    """Raise `NothingToDraw` if no epoch has ended."""
    if not epochs.size:
        raise NothingToDraw("no epoch has ended yet.")


def read_curve(
    history: MetricsHistory,
    metric: str,
    trait: str | None = None,
    *,
    best_epoch: int | None = None,
) -> Curve:
    """Return the curve of `metric` for `trait`. If `trait` is None, the values are trait means.

    `best_epoch` is the epoch of the saved model, if it is known.

    Raises:
        NothingToDraw: If no epoch has ended, or the history does not contain the metric.
    """
    epochs = history.epoch.epoch_numbers
    check_epochs(epochs)
    name = metric if trait is None else f"{metric}_{trait}"
    train, validation = (
        values if np.isfinite(values).any() else None
        for values in (history.epoch.training(name), history.epoch.validation(name))
    )
    if train is None and validation is None:
        label = metric if trait is None else f"{metric} of {trait}"
        raise NothingToDraw(f"the history contains no {label}.")
    return Curve(
        metric=metric, epochs=epochs, train=train, validation=validation, saved_epoch=best_epoch
    )


def read_curves(
    history: MetricsHistory,
    names: Mapping[str, tuple[str, str | None]],
    *,
    best_epoch: int | None = None,
) -> dict[str, Curve]:
    """Return the existing curves: key -> curve. `names` contains key -> (metric, trait or None)."""
    read = partial(read_curve, best_epoch=best_epoch)
    curves = {key: data_or_none(read, history, *name) for key, name in names.items()}
    return {key: curve for key, curve in curves.items() if curve is not None}


def epoch_marker(epochs: FloatArray | IntArray) -> str:
    """Return the marker of a line over epochs: "o" if there are few epochs, else ""."""
    return "o" if len(epochs) <= _MAX_MARKED_EPOCHS else ""


def set_epoch_axis(axes: Axes, epochs: IntArray) -> None:
    """Set the limits, integer ticks and label of an x axis that shows epochs."""
    pad = max(0.5, 0.02 * (epochs[-1] - epochs[0])) if len(epochs) > 1 else 1.5
    axes.set_xlim(epochs[0] - pad, epochs[-1] + pad)
    set_ticks(axes, integer_x=True)
    if len(epochs) == 1:
        axes.set_xticks(epochs)
    axes.set_xlabel("epoch")


def draw_curve(axes: Axes, curve: Curve, *, colour: str | None = None) -> None:
    """Draw a curve and mark the epoch of the saved model. `colour` replaces the default colours."""
    marker = epoch_marker(curve.epochs)
    if curve.train is not None:
        train_colour = colour or TRAIN_COLOUR
        axes.plot(curve.epochs, curve.train, "--", color=train_colour, marker=marker, mfc="white")
    if curve.validation is not None:
        axes.plot(curve.epochs, curve.validation, color=colour or VALIDATION_COLOUR, marker=marker)
    set_epoch_axis(axes, curve.epochs)
    mark_saved_epoch(axes, curve)
    _cut_first_epochs(axes, curve)
    set_value_axis(axes, METRIC_LABELS[curve.metric], is_log=curve.is_logarithmic)


def saved_epoch_handles(curve: Curve) -> list[Line2D]:
    """Return the legend entry of the line at the epoch of the saved model."""
    if curve.saved_epoch is None:
        return []
    if curve.saved is None:
        return [line_handle("saved model: ridge regression (epoch 0)", "none", "none")]
    return [line_handle(f"saved model: epoch {curve.saved_epoch}", MUTED, ":", "")]


def curve_handles(curve: Curve, *, colour: str | None = None) -> list[Line2D]:
    """Return the legend entries of a curve."""
    marker = epoch_marker(curve.epochs)
    train = line_handle("training", colour or TRAIN_COLOUR, "--", marker)
    train.set_markerfacecolor("white")
    validation = line_handle("validation", colour or VALIDATION_COLOUR, "-", marker)
    handles = ((validation, curve.validation), (train, curve.train))
    subsets = [handle for handle, values in handles if values is not None]
    return subsets + saved_epoch_handles(curve)


def readable_limits(curve: Curve) -> tuple[float, float] | None:
    """Return y limits that exclude extreme first epochs, or None if no limits are needed.

    For example, if R² is -50 in the first epoch, all later values look like a flat line. The limits
    ignore the first 10 % of the epochs, but at least one epoch.
    """
    if curve.is_logarithmic:
        return None
    num_cut = max(1, len(curve.epochs) // 10)
    drawn = np.array([values for values in (curve.train, curve.validation) if values is not None])
    rest = drawn[:, num_cut:]
    if rest.shape[1] < 3 or not np.isfinite(rest).any():
        return None
    low, high = float(np.nanmin(rest)), float(np.nanmax(rest))
    if high == low or np.nanmax(drawn) - np.nanmin(drawn) <= _MAX_RANGE_RATIO * (high - low):
        return None
    margin = 0.08 * (high - low)
    return low - margin, high + margin


def describe_curve(curve: Curve) -> str:
    """Return one sentence with the first, last and best value of a curve."""
    name, subset = METRIC_NAMES[curve.metric], curve.subset
    first, last = (metric_value(curve.metric, curve.values[epoch]) for epoch in (0, -1))
    if len(curve.epochs) == 1:
        return f"The {subset} {name} after the only epoch, {curve.epochs[0]}, is {last}."
    gap = ""
    if curve.train is not None and curve.validation is not None and curve.best is not None:
        gap = f", with a training value of {metric_value(curve.metric, curve.train[curve.best])}"
    return (
        f"Over {len(curve.epochs)} epochs the {subset} {name} goes from {first} to {last}; "
        f"the best is {curve.best_text} in epoch {curve.best_epoch}{gap}."
    )


def mark_saved_epoch(axes: Axes, curve: Curve) -> None:
    """Draw a line at the epoch of the saved model, and write its value above the panel."""
    if curve.best is None:
        set_note(axes, "no finite value", MUTED)
    elif curve.is_flat:
        set_note(axes, f"{curve.best_text} in every epoch", MUTED)
    elif curve.saved is not None:
        value = curve.values[curve.saved]
        axes.axvline(curve.epochs[curve.saved], color=MUTED, linestyle=":", zorder=1)
        axes.plot(curve.epochs[curve.saved], value, "o", ms=7, mfc="none", mec=MUTED)
        set_note(axes, f"{metric_value(curve.metric, value)} in epoch {curve.saved_epoch}")


def _cut_first_epochs(axes: Axes, curve: Curve) -> None:
    limits = readable_limits(curve)
    if limits is None:
        return
    axes.set_ylim(limits)
    is_above = np.nanmax(curve.values) > limits[1]
    first = metric_value(curve.metric, curve.values[0])
    axes.text(
        0.99,  # the extreme epochs are on the left, so the right corner is free
        0.97 if is_above else 0.03,
        f"{'▲' if is_above else '▼'} epoch {curve.epochs[0]}: {first}",
        transform=axes.transAxes,
        ha="right",
        va="top" if is_above else "bottom",
        color=WARNING_COLOUR,
    )
