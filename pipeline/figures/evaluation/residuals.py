"""Errors of the predictions: their distribution, and where on the scale they come from.

Shapes: N clips, K = 5 traits, B bins.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.number_format import decimal
from pipeline.core.traits import TRAITS
from pipeline.figures.base.layout import build_panels, set_ticks
from pipeline.figures.base.spec import FigureSpec
from pipeline.figures.base.style import TRAIT_COLOURS, Style, styled
from pipeline.figures.evaluation.predictions import paired_scores

MIN_CLIPS: Final = 5
"""Clips that a bin of the scale needs before its mean is shown."""

_NUM_BINS: Final = 40
_SCALE_BINS: Final = np.linspace(0.0, 1.0, 11)


@dataclass(frozen=True, kw_only=True, eq=False)
class Residuals:
    """Predicted minus annotated scores."""

    edges: FloatArray
    """Edges of the residuals' bins, symmetric around zero, shape (B + 1,)."""
    counts: IntArray
    """Clips in each bin, shape (K, B)."""
    bias: FloatArray
    """Mean residual of each trait, shape (K,)."""
    deviation: FloatArray
    """Standard deviation of each trait's residuals, shape (K,)."""
    scale: FloatArray
    """Centres of ten bins of the annotated score, shape (10,)."""
    trend: FloatArray
    """Mean residual of the clips in each of them, shape (K, 10); NaN below five clips."""
    num_clips: int
    """Clips, N."""
    split: str
    """Name of their split."""


def residuals_data(y_true: FloatArray, y_pred: FloatArray, split: str = "") -> Residuals:
    """Return the errors of predictions.

    Args:
        y_true: Annotated scores, shape (N, 5), in OCEAN order, in [0, 1].
        y_pred: Predicted scores, shape (N, 5).
        split: Name of the clips' split.
    """
    true, pred = paired_scores(y_true, y_pred)
    residuals = pred - true
    reach = max(float(np.abs(residuals).max()), 1e-6)
    edges = np.linspace(-reach, reach, _NUM_BINS + 1)
    trait_numbers = range(true.shape[1])
    return Residuals(
        edges=edges,
        counts=np.array([np.histogram(residuals[:, k], edges)[0] for k in trait_numbers]),
        bias=residuals.mean(axis=0),
        deviation=residuals.std(axis=0),
        scale=(_SCALE_BINS[:-1] + _SCALE_BINS[1:]) / 2,
        trend=np.array(
            [binned_mean(true[:, k], residuals[:, k], _SCALE_BINS)[0] for k in trait_numbers]
        ),
        num_clips=len(true),
        split=split,
    )


def binned_mean(
    keys: FloatArray, values: FloatArray, edges: FloatArray
) -> tuple[FloatArray, IntArray]:
    """Return the mean of the values whose keys fall into each bin, and how many there are.

    Args:
        keys: Shape (N,); keys beyond the edges count into the first or the last bin.
        values: Shape (N,).
        edges: Edges of the bins, rising, shape (B + 1,).

    Returns:
        Means, shape (B,), NaN where a bin has fewer than five values; counts, shape (B,).
    """
    num_bins = len(edges) - 1
    bins = np.clip(np.searchsorted(edges, keys, side="right") - 1, 0, num_bins - 1)
    counts = np.bincount(bins, minlength=num_bins)
    sums = np.bincount(bins, weights=values, minlength=num_bins)
    return np.where(counts >= MIN_CLIPS, sums / np.maximum(counts, 1), np.nan), counts


@styled
def draw_residuals(data: Residuals, style: Style) -> Figure:
    """Draw the distribution of each trait, and the mean error along the scale."""
    figure, panels = build_panels(
        style,
        title=f"Errors of {data.num_clips:,} {data.split} clips",
        rows=2,
        columns=3,
        aspect=0.72,
        top=3.2,
    )
    for k, trait in enumerate(TRAITS):
        axes = panels[k]
        axes.stairs(data.counts[k], data.edges, fill=True, color=TRAIT_COLOURS[trait])
        axes.axvline(0, color="#222222", linewidth=1.0, linestyle="--")
        axes.set_ylim(0, data.counts[k].max() * 1.05)
        set_ticks(axes, x=4, y=4)
        bias, deviation = decimal(data.bias[k], 3, sign=True), decimal(data.deviation[k], 3)
        axes.set_title(f"{trait}\nmean {bias} · SD {deviation}")
        axes.set_xlabel("predicted − annotated")
    for axes in (panels[0], panels[3]):
        axes.set_ylabel("clips")
    _draw_trend(panels[5], data)
    return figure


def describe_residuals(data: Residuals) -> str:
    """Return the errors in one sentence."""
    values = ", ".join(
        f"{trait} {decimal(bias, 3, sign=True)} (SD {decimal(deviation, 3)})"
        for trait, bias, deviation in zip(TRAITS, data.bias, data.deviation, strict=True)
    )
    clips = f"{data.num_clips:,} {data.split} clips"
    return f"Mean error, predicted minus annotated, of {clips}: {values}."


def _draw_trend(axes: Axes, data: Residuals) -> None:
    for k, trait in enumerate(TRAITS):
        axes.plot(data.scale, data.trend[k], ".-", color=TRAIT_COLOURS[trait])
    axes.axhline(0, color="#222222", linewidth=1.0, linestyle="--")
    axes.set_xlim(0, 1)
    set_ticks(axes, x=5, y=4)
    axes.set_title("mean error by score,\nall traits")
    axes.set_xlabel("annotated score")


FIGURES: Final = (
    FigureSpec(
        name="residuals",
        folder="training_visualizations",
        title="Errors of the predictions",
        caption=(
            "Distribution of predicted minus annotated scores, and, lower right, its mean along "
            "the annotated score: a falling line means that low scores are predicted too high "
            "and high ones too low."
        ),
        needs=("y_true", "y_pred"),
        uses=("split",),
        data=residuals_data,
        draw=draw_residuals,
        alt_text=describe_residuals,
    ),
)
"""The errors."""
