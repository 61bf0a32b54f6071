"""Loss and metrics over the epochs, training beside validation.

Shapes: E epochs.
"""

import functools
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import METRIC_LABELS, METRIC_NAMES, metric_value
from pipeline.figures.base.curve_data import Curve, is_better_higher, read_curve
from pipeline.figures.base.layout import (
    build_panels,
    keep_ticks_short,
    line_handle,
    set_log_scale,
    set_ticks,
)
from pipeline.figures.base.spec import FigureSpec
from pipeline.figures.base.style import (
    MUTED,
    TRAIN_COLOUR,
    VALIDATION_COLOUR,
    WARNING_COLOUR,
    Style,
    styled,
)
from pipeline.records.metrics_history import MetricsHistory

MAX_MARKED_EPOCHS: Final = 25
"""Epochs up to which each value gets a point of its own on the line."""

_FALL: Final = 10.0
"""Largest over smallest value from which on a loss is drawn on a logarithmic axis."""

_DWARFING: Final = 20.0
"""How many times wider than the rest the first epochs may make an axis before they are cut."""


def train_val_data(history: MetricsHistory, metric: str) -> Curve:
    """Return a metric over the epochs, the mean over the traits.

    Args:
        history: The history of the run.
        metric: `loss`, or one of `pipeline.metrics.regression.METRICS`.
    """
    return read_curve(history, metric)


@styled
def draw_train_val(curve: Curve, style: Style) -> Figure:
    """Draw one metric over the epochs."""
    figure, (axes,) = build_panels(
        style,
        title=f"{_heading(curve.metric)} over the epochs",
        width="column",
        legend=curve_handles(curve),
    )
    draw_curve(axes, curve)
    axes.set_ylabel(METRIC_LABELS[curve.metric] + " · log scale" * is_logarithmic(curve))
    axes.set_xlabel("epoch")
    return figure


def draw_curve(axes: Axes, curve: Curve, *, colour: str | None = None) -> None:
    """Draw a curve into a panel, its best epoch marked and named above the panel.

    Args:
        axes: The panel.
        curve: The curve.
        colour: Colour of both sides; each has its own unless given.
    """
    marker = _marker(curve)
    if curve.train is not None:
        train_colour = colour or TRAIN_COLOUR
        axes.plot(curve.epochs, curve.train, "--", color=train_colour, marker=marker, mfc="white")
    if curve.validation is not None:
        axes.plot(curve.epochs, curve.validation, color=colour or VALIDATION_COLOUR, marker=marker)
    set_epoch_axis(axes, curve.epochs)
    if is_logarithmic(curve):
        set_log_scale(axes)
    _mark_best(axes, curve)
    _show_the_readable_part(axes, curve)
    if not is_logarithmic(curve):
        keep_ticks_short(axes)


def curve_handles(curve: Curve, *, colour: str | None = None) -> list[Line2D]:
    """Return the legend of a curve: validation and training, those of them that it has."""
    train = line_handle("training", colour or TRAIN_COLOUR, "--", _marker(curve))
    train.set_markerfacecolor("white")
    validation = line_handle("validation", colour or VALIDATION_COLOUR, "-", _marker(curve))
    handles = ((validation, curve.validation), (train, curve.train))
    return [handle for handle, values in handles if values is not None]


def set_epoch_axis(axes: Axes, epochs: FloatArray | Any) -> None:
    """Let the x axis span the epochs, with whole numbers as ticks."""
    pad = max(0.5, 0.02 * (epochs[-1] - epochs[0])) if len(epochs) > 1 else 1.5
    axes.set_xlim(epochs[0] - pad, epochs[-1] + pad)
    set_ticks(axes, integer_x=True)
    if len(epochs) == 1:
        axes.set_xticks(epochs)


def is_logarithmic(curve: Curve) -> bool:
    """Return whether a loss or a squared error falls so far that only a log scale shows its end."""
    values = np.concatenate([side for side in (curve.train, curve.validation) if side is not None])
    values = values[np.isfinite(values)]
    is_squared = curve.metric in {"loss", "mse"}
    return is_squared and values.size > 0 and bool(values.max() >= _FALL * values.min() > 0)


def readable_limits(curve: Curve) -> tuple[float, float] | None:
    """Return the y limits that keep a curve readable when its first epochs would dwarf the rest.

    A network that starts far off can have an R² of -50 in its first epoch; drawn in full,
    all that follows is a flat line. At most the first tenth of the epochs is cut.

    Returns:
        Lowest and highest value to show; None where all values fit.
    """
    if is_logarithmic(curve):
        return None
    num_cut = max(1, len(curve.epochs) // 10)
    sides = [side for side in (curve.train, curve.validation) if side is not None]
    whole, rest = np.array(sides), np.array(sides)[:, num_cut:]
    if rest.shape[1] < 3 or not np.isfinite(rest).any():
        return None
    low, high = float(np.nanmin(rest)), float(np.nanmax(rest))
    if high == low or np.nanmax(whole) - np.nanmin(whole) <= _DWARFING * (high - low):
        return None
    margin = 0.08 * (high - low)
    return low - margin, high + margin


def describe_curve(curve: Curve) -> str:
    """Return a curve in one sentence."""
    name, side = METRIC_NAMES[curve.metric], curve.side
    first, last = (metric_value(curve.metric, curve.decisive[epoch]) for epoch in (0, -1))
    if len(curve.epochs) == 1:
        return f"After epoch {curve.epochs[0]}, the only one, the {side} {name} is {last}."
    return (
        f"Over {len(curve.epochs)} epochs the {side} {name} goes from {first} to {last}; "
        f"its best is {curve.best_text} in epoch {curve.best_epoch}{_describe_gap(curve)}."
    )


def _marker(curve: Curve) -> str:
    return "o" if len(curve.epochs) <= MAX_MARKED_EPOCHS else ""


def _describe_gap(curve: Curve) -> str:
    if curve.train is None or curve.validation is None or curve.best is None:
        return ""
    return f", where training has {metric_value(curve.metric, curve.train[curve.best])}"


def _mark_best(axes: Axes, curve: Curve) -> None:
    if curve.best is None:
        axes.set_title("no finite value", loc="right", color=MUTED)
        return
    if curve.is_flat:
        axes.set_title(
            f"{curve.best_text} in every epoch",
            loc="right",
            color=MUTED,
        )
        return
    axes.axvline(curve.epochs[curve.best], color=MUTED, linestyle=":", linewidth=1.0, zorder=1)
    axes.plot(
        curve.epochs[curve.best],
        curve.best_value,
        "o",
        markersize=7,
        markerfacecolor="none",
        markeredgecolor=MUTED,
    )
    best = f"best {curve.best_text}, epoch {curve.best_epoch}"
    axes.set_title(best, loc="right", color="#555555")


def _show_the_readable_part(axes: Axes, curve: Curve) -> None:
    limits = readable_limits(curve)
    if limits is None:
        return
    axes.set_ylim(limits)
    is_above = np.nanmax(curve.decisive) > limits[1]
    arrow = "▲" if is_above else "▼"
    axes.text(
        # A curve that starts far above, or below, its end leaves this corner free.
        0.99,
        0.97 if is_above else 0.03,
        f"{arrow} epoch {curve.epochs[0]}: {metric_value(curve.metric, curve.decisive[0])}",
        transform=axes.transAxes,
        ha="right",
        va="top" if is_above else "bottom",
        color=WARNING_COLOUR,
    )


def _heading(metric: str) -> str:
    name = METRIC_NAMES[metric]
    return name[0].upper() + name[1:]


def _spec(name: str, metric: str) -> FigureSpec:
    better = "Higher" if is_better_higher(metric) else "Lower"
    return FigureSpec(
        name=name,
        folder="training_visualizations",
        title=f"{_heading(metric)} over the epochs",
        caption=(
            f"{_heading(metric)} on the training clips (dashed, as they were seen in training) "
            f"and on the validation clips (solid). {better} is better; the ring marks the best "
            "epoch."
        ),
        needs=("history",),
        data=functools.partial(train_val_data, metric=metric),
        draw=draw_train_val,
        alt_text=describe_curve,
    )


FIGURES: Final = (
    _spec("train_val_loss", "loss"),
    _spec("train_val_accuracy", "accuracy"),
    _spec("train_val_mae", "mae"),
    _spec("train_val_mse", "mse"),
    _spec("train_val_r_squared", "r2"),
    _spec("train_val_pcc", "pcc"),
    _spec("train_val_ccc", "ccc"),
)
"""One figure for the loss and one for every metric."""
