"""Whether a predicted score means what it says: the mean annotation at each predicted score.

Shapes: N clips, K = 5 traits, B bins of the predicted score.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.number_format import decimal
from pipeline.core.traits import TRAITS
from pipeline.figures.base.layout import build_panels, hide_panel, line_handle, set_ticks
from pipeline.figures.base.spec import FigureSpec
from pipeline.figures.base.style import MUTED, PALE, TRAIT_COLOURS, Style, styled
from pipeline.figures.evaluation.predictions import paired_scores, score_limits
from pipeline.figures.evaluation.residuals import MIN_CLIPS, binned_mean
from pipeline.metrics.regression import is_constant

_READING: Final = "slope 1: calibrated\nslope < 1: too extreme\nslope > 1: too timid"
_BIN_WIDTH: Final = 0.05
_COUNTS_HEIGHT: Final = 0.22  # share of a panel that the tallest bar of the counts takes


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """Mean predicted and mean annotated score in bins of the predicted score."""

    edges: FloatArray
    """Edges of the bins, shape (B + 1,)."""
    counts: IntArray
    """Clips in each bin, shape (K, B)."""
    mean_pred: FloatArray
    """Mean predicted score in each bin, shape (K, B); NaN below five clips."""
    mean_true: FloatArray
    """Mean annotated score in each bin, shape (K, B); NaN below five clips."""
    slope: FloatArray
    """Slope of the annotations over the predictions, shape (K,); NaN for a constant prediction."""
    split: str
    """Name of the clips' split."""


def calibration_data(y_true: FloatArray, y_pred: FloatArray, split: str = "") -> Calibration:
    """Return how predicted scores relate to the mean annotation at them.

    Args:
        y_true: Annotated scores, shape (N, 5), in OCEAN order.
        y_pred: Predicted scores, shape (N, 5).
        split: Name of the clips' split.

    Reference: Cox, 1958 (doi:10.2307/2333203); a slope below 1 means that predictions are too
        extreme, above 1 that they are too timid.
    """
    true, pred = paired_scores(y_true, y_pred)
    low, high = score_limits(pred, pred)
    edges = np.linspace(low, high, round((high - low) / _BIN_WIDTH) + 1)
    traits = range(true.shape[1])
    binned = [binned_mean(pred[:, k], true[:, k], edges) for k in traits]
    return Calibration(
        edges=edges,
        counts=np.array([counts for _, counts in binned]),
        mean_pred=np.array([binned_mean(pred[:, k], pred[:, k], edges)[0] for k in traits]),
        mean_true=np.array([means for means, _ in binned]),
        slope=_slopes(true, pred),
        split=split,
    )


@styled
def draw_calibration(data: Calibration, style: Style) -> Figure:
    """Draw one panel a trait."""
    num_clips = int(data.counts[0].sum())
    figure, panels = build_panels(
        style,
        title=f"Calibration of the scores, {num_clips:,} {data.split} clips",
        rows=2,
        columns=3,
        aspect=0.85,
        legend=[
            line_handle("mean annotation", "#444444", "-", "o"),
            line_handle("perfect", "#222222", "--"),
            line_handle("number of clips", PALE, "none", "s"),
        ],
    )
    limits = _limits(data)
    for k, trait in enumerate(TRAITS):
        _draw_trait(panels[k], data, k, limits)
        panels[k].set_title(trait)
        slope = f"slope {decimal(data.slope[k], 2)}"
        panels[k].set_title(slope, loc="right", color="#555555")
    hide_panel(panels[5])
    panels[5].text(0, 0.5, _READING, va="center", color=MUTED)
    for axes in (panels[0], panels[3]):
        axes.set_ylabel("annotated score, mean")
    for axes in panels[2:5]:
        axes.set_xlabel("predicted score")
    return figure


def describe_calibration(data: Calibration) -> str:
    """Return the slopes in one sentence."""
    slopes = ", ".join(
        f"{trait} {decimal(slope, 2)}" for trait, slope in zip(TRAITS, data.slope, strict=True)
    )
    return (
        "Slope of the annotated over the predicted score (1 is calibrated, below 1 too extreme, "
        f"above 1 too timid): {slopes}."
    )


def _slopes(true: FloatArray, pred: FloatArray) -> FloatArray:
    centred = pred - pred.mean(axis=0)
    variance = (centred**2).mean(axis=0)
    flat = is_constant(pred.mean(axis=0), variance)
    covariance = (centred * (true - true.mean(axis=0))).mean(axis=0)
    slopes: FloatArray = np.where(flat, np.nan, covariance / np.where(flat, 1.0, variance))
    return slopes


def _limits(data: Calibration) -> tuple[float, float]:
    shown = data.mean_true[np.isfinite(data.mean_true)]
    low = min(data.edges[0], *shown) if shown.size else data.edges[0]
    high = max(data.edges[-1], *shown) if shown.size else data.edges[-1]
    return float(np.floor(low * 10) / 10), float(np.ceil(high * 10) / 10)


def _draw_trait(axes: Axes, data: Calibration, k: int, limits: tuple[float, float]) -> None:
    low, high = limits
    # Counts stand on the floor of the panel; their scale is given by the highest of them.
    heights = data.counts[k] / data.counts[k].max() * _COUNTS_HEIGHT * (high - low)
    axes.stairs(low + heights, data.edges, baseline=low, fill=True, color=PALE)
    axes.plot(limits, limits, "--", color="#222222", linewidth=1.0)
    axes.plot(data.mean_pred[k], data.mean_true[k], "o-", color=TRAIT_COLOURS[TRAITS[k]])
    axes.set_xlim(limits)
    axes.set_ylim(limits)
    set_ticks(axes, x=5, y=5)


FIGURES: Final = (
    FigureSpec(
        name="calibration",
        folder="training_visualizations",
        title="Calibration of the scores",
        caption=(
            "Mean annotated score of the clips whose predicted score falls into a bin of width "
            f"{_BIN_WIDTH} with at least {MIN_CLIPS} clips. On the dashed line a predicted score "
            "means what it says. Grey: how many clips are in each bin."
        ),
        needs=("y_true", "y_pred"),
        uses=("split",),
        data=calibration_data,
        draw=draw_calibration,
        alt_text=describe_calibration,
    ),
)
"""The calibration."""
