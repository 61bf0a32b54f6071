"""The training of two runs: loss and error of both over the epochs.

Shapes: E epochs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.number_format import METRIC_LABELS, METRIC_NAMES
from pipeline.figures.base.curve_data import Curve, read_curve
from pipeline.figures.base.layout import (
    build_panels,
    keep_ticks_short,
    line_handle,
    set_log_scale,
    set_ticks,
)
from pipeline.figures.base.spec import FigureSpec
from pipeline.figures.base.style import MUTED, Style, styled
from pipeline.figures.comparison.pair import COLOURS, pair_handles, read_names
from pipeline.figures.training.curves import is_logarithmic
from pipeline.records.metrics_history import MetricsHistory

SHOWN: Final = ("loss", "mae")
"""What is drawn: the MAE is comparable where the losses are of two kinds."""

_MAX_MARKED_EPOCHS: Final = 25
"""Epochs up to which each value gets a point, so that a single epoch is seen."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvePair:
    """Loss and MAE of two runs over their epochs."""

    names: tuple[str, str]
    """What the two runs are called."""
    curves: Mapping[str, tuple[Curve, Curve]]
    """`loss` or `mae` -> the curves of the first and of the second run."""


def curve_pair_data(
    comparison: Mapping[str, Any], history_a: MetricsHistory, history_b: MetricsHistory
) -> CurvePair:
    """Return the curves of two runs.

    Args:
        comparison: Content of `Comparison.to_json()`, for the names.
        history_a: The history of the first run.
        history_b: The history of the second run.

    Raises:
        NothingToDraw: If a run has no epochs yet.
        PipelineError: If the comparison is damaged.
    """
    return CurvePair(
        names=read_names(comparison),
        curves={
            metric: (read_curve(history_a, metric), read_curve(history_b, metric))
            for metric in SHOWN
        },
    )


@styled
def draw_curve_pair(data: CurvePair, style: Style) -> Figure:
    """Draw the curves of two runs into the same panels."""
    handles = [
        *pair_handles(data.names, linestyle="-"),
        line_handle("validation", "#444444"),
        line_handle("training", "#444444", "--"),
    ]
    figure, panels = build_panels(
        style, title="Training of two runs", columns=2, aspect=0.62, legend=handles
    )
    for axes, metric in zip(panels, SHOWN, strict=True):
        _draw_panel(axes, data.curves[metric], metric)
    return figure


def describe_curve_pair(data: CurvePair) -> str:
    """Return the best losses of two runs in one sentence."""
    told = [
        f"{name} {curve.best_text} in epoch {curve.best_epoch} of {curve.epochs[-1]} ({curve.side})"
        for name, curve in zip(data.names, data.curves["loss"], strict=True)
    ]
    return f"Lowest losses: {told[0]}, {told[1]}."


def _draw_panel(axes: Axes, curves: tuple[Curve, Curve], metric: str) -> None:
    for curve, colour in zip(curves, COLOURS, strict=True):
        marker = "o" if len(curve.epochs) <= _MAX_MARKED_EPOCHS else ""
        if curve.train is not None:
            axes.plot(curve.epochs, curve.train, "--", color=colour, marker=marker, alpha=0.55)
        if curve.validation is not None:
            axes.plot(curve.epochs, curve.validation, color=colour, marker=marker)
        if curve.best is not None:
            axes.plot(curve.epochs[curve.best], curve.best_value, "o", ms=9, mfc="none", mec=MUTED)
    set_ticks(axes, integer_x=True)
    is_log = any(is_logarithmic(curve) for curve in curves) and _is_positive(curves)
    if is_log:
        set_log_scale(axes)
    else:
        keep_ticks_short(axes)
    axes.set_xlabel("epoch")
    axes.set_ylabel(METRIC_LABELS[metric] + " · log scale" * is_log)
    best = " · ".join(curve.best_text for curve in curves)
    axes.set_title(f"best {METRIC_NAMES[metric]}, A · B: {best}", loc="right", color="#555555")


def _is_positive(curves: tuple[Curve, Curve]) -> bool:
    sides = [side for curve in curves for side in (curve.train, curve.validation)]
    return all(np.nanmin(side) > 0 for side in sides if side is not None)


FIGURES: Final = (
    FigureSpec(
        name="loss_curves",
        folder="comparison",
        title="Training of both runs",
        caption=(
            "Loss and MAE of both runs over their epochs, on validation clips (solid) and on "
            "training clips (dashed); rings mark the best epochs. Losses are comparable only "
            "where both runs minimise the same one; the MAE always is."
        ),
        needs=("comparison", "history_a", "history_b"),
        data=curve_pair_data,
        draw=draw_curve_pair,
        alt_text=describe_curve_pair,
    ),
)
"""The curves."""
