"""Calibration: mean annotated score as a function of the predicted score.

Shapes: N clips, K traits, B bins of the predicted score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.number_format import decimal
from pipeline.figures.base.layout import (
    build_panels,
    describe_clips,
    line_handle,
    panel_columns,
    set_ticks,
)
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import PALE, Style, trait_colours
from pipeline.figures.evaluation.predictions import (
    MIN_CLIPS,
    binned_mean,
    paired_scores,
    score_limits,
)
from pipeline.metrics.regression import is_constant

_SLOPE_KEY: Final = "slope < 1: too extreme, slope > 1: not extreme enough"
_BIN_WIDTHS: Final = (0.05, 0.1, 0.2)
_MIN_TOTAL: Final = 20
"""Minimum number of clips. From fewer clips, neither the means nor the slope are meaningful."""
_MIN_SHOWN: Final = 0.8
"""Minimum share of the clips in bins with a mean. Otherwise, wider bins are used."""
_COUNTS_HEIGHT: Final = 0.22
"""Height of the highest count bar, as a fraction of the panel height."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """Means of predicted and annotated scores, for each bin of the predicted score."""

    edges: FloatArray
    """Edges of the bins, shape (B + 1,)."""
    counts: IntArray
    """Number of clips per bin, shape (K, B)."""
    mean_pred: FloatArray
    """Mean predicted score per bin, shape (K, B); NaN in bins with fewer than five clips."""
    mean_true: FloatArray
    """Mean annotated score per bin, shape (K, B); NaN in bins with fewer than five clips."""
    slope: FloatArray
    """Slope of the regression of annotations on predictions, shape (K,).

    If predictions are constant, the slope is NaN. If the slope is below 1, the predictions are
    too extreme.

    Reference: Cox, 1958 (doi:10.2307/2333203).
    """
    split: str
    trait_names: tuple[str, ...]


def _calibration_data(
    y_true: FloatArray,
    y_pred: FloatArray,
    trait_names: Sequence[str],
    split: str = "",
) -> Calibration:
    true, pred = paired_scores(y_true, y_pred)
    if len(true) < _MIN_TOTAL:
        raise NothingToDraw(
            f"calibration needs at least {_MIN_TOTAL} clips, but there are {len(true)}."
        )
    traits = range(true.shape[1])
    for width in _BIN_WIDTHS:
        edges = _bin_edges(pred, width)
        binned = [binned_mean(pred[:, k], true[:, k], edges) for k in traits]
        counts = np.array([counts for _, counts in binned])
        if counts[counts >= MIN_CLIPS].sum() >= _MIN_SHOWN * counts.sum():
            break
    return Calibration(
        edges=edges,
        counts=counts,
        mean_pred=np.array([binned_mean(pred[:, k], pred[:, k], edges)[0] for k in traits]),
        mean_true=np.array([means for means, _ in binned]),
        slope=_slopes(true, pred),
        split=split,
        trait_names=tuple(trait_names),
    )


def _bin_edges(pred: FloatArray, width: float) -> FloatArray:
    low, high = score_limits(pred)
    return np.linspace(low, high, max(1, round((high - low) / width)) + 1)


def _draw_calibration(data: Calibration, style: Style) -> Figure:
    num_clips, num_traits = int(data.counts[0].sum()), len(data.trait_names)
    columns = panel_columns(num_traits)
    figure, panels = build_panels(
        style,
        title="Calibration of the scores",
        sample=describe_clips(num_clips, data.split),
        num_panels=num_traits,
        columns=columns,
        aspect=0.85,
        top=3.2,
        legend=[
            line_handle("mean annotation", "#444444", "-", "o"),
            line_handle("perfect calibration", "#222222", "--"),
            line_handle("number of clips", PALE, "none", "s"),
            line_handle(_SLOPE_KEY, "none", "none"),
        ],
    )
    limits = score_limits(data.edges, data.mean_true[np.isfinite(data.mean_true)])
    colours = trait_colours(data.trait_names)
    for k, (trait, colour) in enumerate(zip(data.trait_names, colours, strict=True)):
        _draw_trait(panels[k], data, k, limits, colour)
        panels[k].set_title(f"{trait}\nslope {decimal(data.slope[k], 2)}")
    for axes in panels[::columns]:
        axes.set_ylabel("annotated score, mean")
    for axes in panels[-columns:]:
        axes.set_xlabel("predicted score")
    return figure


def _describe_calibration(data: Calibration) -> str:
    slopes = ", ".join(
        f"{trait} {decimal(slope, 2)}"
        for trait, slope in zip(data.trait_names, data.slope, strict=True)
    )
    return (
        "Slope of the regression of annotated on predicted scores (1: calibrated, below 1: too "
        f"extreme, above 1: not extreme enough): {slopes}."
    )


def _slopes(true: FloatArray, pred: FloatArray) -> FloatArray:
    centred = pred - pred.mean(axis=0)
    variance = (centred**2).mean(axis=0)
    flat = is_constant(pred.mean(axis=0), variance)
    covariance = (centred * (true - true.mean(axis=0))).mean(axis=0)
    slopes: FloatArray = np.where(flat, np.nan, covariance / np.where(flat, 1.0, variance))
    return slopes


def _draw_trait(
    axes: Axes, data: Calibration, k: int, limits: tuple[float, float], colour: str
) -> None:
    low, high = limits
    heights = data.counts[k] / data.counts[k].max() * _COUNTS_HEIGHT * (high - low)
    axes.stairs(low + heights, data.edges, baseline=low, fill=True, color=PALE)
    axes.plot(limits, limits, "--", color="#222222", linewidth=1.0)
    axes.plot(data.mean_pred[k], data.mean_true[k], "o-", color=colour)
    axes.set_xlim(limits)
    axes.set_ylim(limits)
    set_ticks(axes, x=5, y=5)


FIGURE: Final = FigureSpec(
    name="calibration",
    title="Calibration of the scores",
    caption=(
        "Mean annotated score per bin of the predicted score, for bins with at least "
        f"{MIN_CLIPS} clips. On the dashed line, both scores are equal. Grey: number of clips per "
        "bin."
    ),
    data=_calibration_data,
    draw=_draw_calibration,
    alt_text=_describe_calibration,
)
