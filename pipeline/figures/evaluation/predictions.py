"""Figures with one panel per trait: predicted against annotated scores, and residuals.

Shapes: N clips, K traits, B bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.number_format import decimal, metric_value
from pipeline.figures.base.layout import (
    build_panels,
    describe_clips,
    hide_panel,
    line_handle,
    panel_columns,
    point_style,
    set_ticks,
)
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import MUTED, Style, trait_colours
from pipeline.metrics.regression import as_columns, exact_metrics

MIN_CLIPS: Final = 5
"""Minimum number of clips in a bin. The mean of a bin with fewer clips is NaN."""

_MAX_POINTS: Final = 400
"""Maximum number of clips for a scatter plot. For more clips, the density is drawn."""

_NUM_CELLS: Final = 36
_NUM_RESIDUAL_BINS: Final = 40
_SCORE_EDGES: Final = np.linspace(0.0, 1.0, 11)


def paired_scores(y_true: FloatArray, y_pred: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return both arrays as float64. Raise `NothingToDraw` if there are no clips."""
    if len(y_true) == 0:
        raise NothingToDraw("there are no clips.")
    return as_columns(y_true, y_pred)


def score_limits(*scores: FloatArray) -> tuple[float, float]:
    """Return axis limits that include all scores. Both limits are multiples of 0.1."""
    all_values = np.concatenate([values.ravel() for values in scores])
    low, high = np.floor(all_values.min() * 10) / 10, np.ceil(all_values.max() * 10) / 10
    return float(low), float(max(high, low + 0.1))


def binned_mean(
    keys: FloatArray, values: FloatArray, edges: FloatArray
) -> tuple[FloatArray, IntArray]:
    """Return two arrays of shape (B,): mean of the values per bin, number of values per bin.

    Each value is counted in the bin that contains the key at the same position. The B + 1 edges are
    ascending. Keys outside the edges are in the first or the last bin. If a bin has fewer than
    `MIN_CLIPS` values, its mean is NaN.
    """
    num_bins = len(edges) - 1
    bins = np.clip(np.searchsorted(edges, keys, side="right") - 1, 0, num_bins - 1)
    counts = np.bincount(bins, minlength=num_bins)
    sums = np.bincount(bins, weights=values, minlength=num_bins)
    return np.where(counts >= MIN_CLIPS, sums / np.maximum(counts, 1), np.nan), counts


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictionsVsTruth:
    """Predicted and annotated scores."""

    y_true: FloatArray
    """Annotated scores, shape (N, K)."""
    y_pred: FloatArray
    """Predicted scores, shape (N, K)."""
    density: IntArray
    """Number of clips per trait and cell, shape (K, B, B).

    Axes: trait, bin of the predicted score, bin of the annotated score."""
    edges: FloatArray
    """Edges of the cells on both axes, shape (B + 1,)."""
    mae: FloatArray
    """MAE per trait, shape (K,)."""
    ccc: FloatArray
    """CCC per trait, shape (K,); 0 for constant scores."""
    split: str
    trait_names: tuple[str, ...]


def _predictions_vs_truth_data(
    y_true: FloatArray,
    y_pred: FloatArray,
    trait_names: Sequence[str],
    split: str = "",
) -> PredictionsVsTruth:
    true, pred = paired_scores(y_true, y_pred)
    edges = np.linspace(*score_limits(true, pred), _NUM_CELLS + 1)
    density = [
        np.histogram2d(pred[:, k], true[:, k], bins=(edges, edges))[0] for k in range(true.shape[1])
    ]
    metrics = exact_metrics(true, pred)
    return PredictionsVsTruth(
        y_true=true,
        y_pred=pred,
        density=np.array(density).astype(np.int64),
        edges=edges,
        mae=metrics["mae"],
        ccc=metrics["ccc"],
        split=split,
        trait_names=tuple(trait_names),
    )


def _draw_predictions_vs_truth(data: PredictionsVsTruth, style: Style) -> Figure:
    num_clips, num_traits = len(data.y_true), len(data.trait_names)
    has_scale = num_clips > _MAX_POINTS
    num_panels = num_traits + has_scale
    columns = panel_columns(num_panels)
    figure, panels = build_panels(
        style,
        title="Predicted against annotated scores",
        sample=describe_clips(num_clips, data.split),
        num_panels=num_panels,
        columns=columns,
        aspect=1.0,
        top=3.2,
        legend=[line_handle("prediction = annotation", "#222222", "--")],
    )
    # A constant trait has one very full cell. Thus the colour scale ends at the median, over the
    # traits, of the number of clips in the fullest cell, not at the maximum.
    norm = LogNorm(1, max(2.0, float(np.median(data.density.max(axis=(1, 2))))))
    colours = trait_colours(data.trait_names)
    for k, (trait, colour) in enumerate(zip(data.trait_names, colours, strict=True)):
        _draw_trait(panels[k], data, k, norm, colour)
        mae, ccc = metric_value("mae", data.mae[k]), metric_value("ccc", data.ccc[k])
        panels[k].set_title(f"{trait}\nMAE {mae} · CCC {ccc}")
    for axes in panels[num_traits:]:
        hide_panel(axes)
    if has_scale:
        _draw_scale(panels[-1], norm, style)
    for axes in panels[:num_traits:columns]:
        axes.set_ylabel("predicted score")
    for axes in panels[max(0, num_traits - columns) : num_traits]:
        axes.set_xlabel("annotated score")
    return figure


def _describe_predictions_vs_truth(data: PredictionsVsTruth) -> str:
    values = ", ".join(
        f"{trait} {metric_value('ccc', ccc)} (MAE {metric_value('mae', mae)})"
        for trait, ccc, mae in zip(data.trait_names, data.ccc, data.mae, strict=True)
    )
    return f"CCC on {describe_clips(len(data.y_true), data.split)}: {values}."


def _draw_trait(axes: Axes, data: PredictionsVsTruth, k: int, norm: LogNorm, colour: str) -> None:
    low, high = data.edges[0], data.edges[-1]
    if len(data.y_true) > _MAX_POINTS:
        axes.imshow(
            np.ma.masked_equal(data.density[k], 0),
            cmap=_shades(colour),
            norm=norm,
            extent=(low, high, low, high),
            origin="lower",
            aspect="auto",
        )
    else:
        points = point_style(len(data.y_true))
        axes.plot(data.y_true[:, k], data.y_pred[:, k], color=colour, **points)
    axes.plot((low, high), (low, high), "--", color="#222222", linewidth=1.0)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.grid(visible=False)
    set_ticks(axes, x=5, y=5)


def _shades(colour: str) -> Colormap:
    """Return a colour map from light to dark shades of a colour."""
    rgb = np.array(mpl.colors.to_rgb(colour))
    return LinearSegmentedColormap.from_list("shades", [0.75 + 0.25 * rgb, rgb, 0.35 * rgb], N=64)


def _draw_scale(axes: Axes, norm: LogNorm, style: Style) -> None:
    scale = axes.inset_axes((0.0, 0.5, 0.8, 0.08))
    colours = ScalarMappable(norm, _shades(MUTED))
    ticks = [n for n in (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000) if n <= (norm.vmax or 2)]
    bar = scale.figure.colorbar(colours, cax=scale, orientation="horizontal", ticks=ticks)
    bar.ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
    scale.set_title("clips per cell, or more", size=style.font_size)


@dataclass(frozen=True, kw_only=True, eq=False)
class Residuals:
    """Predicted minus annotated scores."""

    edges: FloatArray
    """Bin edges, symmetric around zero, shape (B + 1,)."""
    counts: IntArray
    """Number of clips per bin, shape (K, B)."""
    bias: FloatArray
    """Mean residual per trait, shape (K,)."""
    deviation: FloatArray
    """Standard deviation of the residuals per trait, shape (K,)."""
    trend: FloatArray
    """Mean residual per bin of the annotated score, shape (K, 10); NaN if a bin has few clips."""
    num_clips: int
    split: str
    trait_names: tuple[str, ...]


def _residuals_data(
    y_true: FloatArray,
    y_pred: FloatArray,
    trait_names: Sequence[str],
    split: str = "",
) -> Residuals:
    true, pred = paired_scores(y_true, y_pred)
    residuals = pred - true
    reach = max(float(np.abs(residuals).max()), 1e-6)
    edges = np.linspace(-reach, reach, _NUM_RESIDUAL_BINS + 1)
    traits = range(true.shape[1])
    return Residuals(
        edges=edges,
        counts=np.array([np.histogram(residuals[:, k], edges)[0] for k in traits]),
        bias=residuals.mean(axis=0),
        deviation=residuals.std(axis=0),
        trend=np.array([binned_mean(true[:, k], residuals[:, k], _SCORE_EDGES)[0] for k in traits]),
        num_clips=len(true),
        split=split,
        trait_names=tuple(trait_names),
    )


def _draw_residuals(data: Residuals, style: Style) -> Figure:
    num_traits = len(data.trait_names)
    columns = panel_columns(num_traits + 1)
    figure, panels = build_panels(
        style,
        title="Residuals of the predictions",
        sample=describe_clips(data.num_clips, data.split),
        num_panels=num_traits + 1,
        columns=columns,
        aspect=0.72,
        top=3.2,
        legend=[*map(line_handle, data.trait_names, trait_colours(data.trait_names))],
    )
    *trait_panels, trend = panels
    colours = trait_colours(data.trait_names)
    for k, (axes, trait) in enumerate(zip(trait_panels, data.trait_names, strict=True)):
        axes.stairs(data.counts[k], data.edges, fill=True, color=colours[k])
        axes.axvline(0, color="#222222", linewidth=1.0, linestyle="--")
        axes.set_ylim(0, data.counts[k].max() * 1.05)
        set_ticks(axes, x=4, y=4)
        bias, deviation = decimal(data.bias[k], 3, sign=True), decimal(data.deviation[k], 3)
        axes.set_title(f"{trait}\nmean {bias} · SD {deviation}")
        axes.set_xlabel("predicted − annotated")
        centres = (_SCORE_EDGES[:-1] + _SCORE_EDGES[1:]) / 2
        trend.plot(centres, data.trend[k], ".-", color=colours[k])
    for axes in trait_panels[::columns]:
        axes.set_ylabel("clips")
    trend.axhline(0, color="#222222", linewidth=1.0, linestyle="--")
    trend.set_xlim(0, 1)
    set_ticks(trend, x=5, y=4)
    trend.set_title("mean residual by score,\nall traits")
    trend.set_xlabel("annotated score")
    trend.set_ylabel("mean residual")
    return figure


def _describe_residuals(data: Residuals) -> str:
    values = ", ".join(
        f"{trait} {decimal(bias, 3, sign=True)} (SD {decimal(deviation, 3)})"
        for trait, bias, deviation in zip(data.trait_names, data.bias, data.deviation, strict=True)
    )
    clips = describe_clips(data.num_clips, data.split)
    return f"Mean residual (predicted minus annotated) of {clips}: {values}."


FIGURES: Final = (
    FigureSpec(
        name="predictions_vs_truth",
        title="Predicted against annotated scores",
        caption=(
            "Predicted against annotated scores, one panel per trait. Darker cells contain more "
            "clips. On the dashed line, predictions are exact. If the points form a flatter line, "
            "the predictions vary less than the annotations."
        ),
        data=_predictions_vs_truth_data,
        draw=_draw_predictions_vs_truth,
        alt_text=_describe_predictions_vs_truth,
    ),
    FigureSpec(
        name="residuals",
        title="Residuals of the predictions",
        caption=(
            "Distribution of predicted minus annotated scores. Last panel: mean residual over "
            "the annotated score. If this line falls, the predictions are too high for low scores "
            "and too low for high scores."
        ),
        data=_residuals_data,
        draw=_draw_residuals,
        alt_text=_describe_residuals,
    ),
)
