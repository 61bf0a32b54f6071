"""Predicted scores against annotated ones, trait by trait, with their density.

Shapes: N clips, K = 5 traits, B cells along an axis.
"""

from dataclasses import dataclass
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.number_format import metric_value
from pipeline.core.traits import TRAITS
from pipeline.figures.base.layout import (
    build_panels,
    hide_panel,
    line_handle,
    point_style,
    set_ticks,
)
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import MUTED, TRAIT_COLOURS, Style, styled
from pipeline.metrics.regression import as_columns, exact_metrics

MAX_POINTS: Final = 400
"""Clips up to which each is a point; more are counted in cells."""

_NUM_CELLS: Final = 36


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictionsVsTruth:
    """Predicted and annotated scores of some clips."""

    y_true: FloatArray
    """Annotated scores, shape (N, K)."""
    y_pred: FloatArray
    """Predicted scores, shape (N, K)."""
    density: IntArray
    """Clips in each cell of predicted by annotated score, shape (K, B, B)."""
    edges: FloatArray
    """Edges of the cells, the same on both axes and for all traits, shape (B + 1,)."""
    mae: FloatArray
    """Mean absolute error of each trait, shape (K,)."""
    pcc: FloatArray
    """Pearson correlation of each trait, shape (K,); 0 where either side is constant."""
    ccc: FloatArray
    """Concordance of each trait, shape (K,); 0 where either side is constant."""
    split: str
    """Name of the clips' split."""


def predictions_vs_truth_data(
    y_true: FloatArray, y_pred: FloatArray, split: str = ""
) -> PredictionsVsTruth:
    """Return predicted against annotated scores.

    Args:
        y_true: Annotated scores, shape (N, 5), in OCEAN order.
        y_pred: Predicted scores, shape (N, 5).
        split: Name of the clips' split.
    """
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
        pcc=metrics["pcc"],
        ccc=metrics["ccc"],
        split=split,
    )


def paired_scores(y_true: FloatArray, y_pred: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return annotated and predicted scores in float64.

    Raises:
        NothingToDraw: If there are no clips.
    """
    if len(y_true) == 0:
        raise NothingToDraw("there are no clips.")
    true, pred = as_columns(y_true, y_pred)
    return true, pred


def score_limits(y_true: FloatArray, y_pred: FloatArray) -> tuple[float, float]:
    """Return limits in whole tenths that hold all scores, both sides and all traits alike."""
    low = np.floor(min(y_true.min(), y_pred.min()) * 10) / 10
    high = np.ceil(max(y_true.max(), y_pred.max()) * 10) / 10
    return float(low), float(max(high, low + 0.1))


@styled
def draw_predictions_vs_truth(data: PredictionsVsTruth, style: Style) -> Figure:
    """Draw one panel a trait."""
    figure, panels = build_panels(
        style,
        title=f"Predicted against annotated scores, {len(data.y_true):,} {data.split} clips",
        rows=2,
        columns=3,
        aspect=1.0,
        top=3.2,
        legend=[line_handle("prediction = annotation", "#222222", "--")],
    )
    # The median over the traits: one constant trait, all in one cell, must not pale the others.
    norm = LogNorm(1, max(2.0, float(np.median(data.density.max(axis=(1, 2))))))
    for k, trait in enumerate(TRAITS):
        _draw_trait(panels[k], data, k, norm)
        mae, ccc = metric_value("mae", data.mae[k]), metric_value("ccc", data.ccc[k])
        panels[k].set_title(f"{trait}\nMAE {mae} · CCC {ccc}")
    hide_panel(panels[5])
    if len(data.y_true) > MAX_POINTS:
        _draw_scale(panels[5], norm, style)
    for axes in (panels[0], panels[3]):
        axes.set_ylabel("predicted score")
    for axes in panels[2:5]:
        axes.set_xlabel("annotated score")
    return figure


def describe_predictions_vs_truth(data: PredictionsVsTruth) -> str:
    """Return the agreement in one sentence."""
    values = ", ".join(
        f"{trait} {metric_value('ccc', ccc)} (MAE {metric_value('mae', mae)})"
        for trait, ccc, mae in zip(TRAITS, data.ccc, data.mae, strict=True)
    )
    return f"Concordance of {len(data.y_true):,} {data.split} clips with the annotations: {values}."


def _draw_trait(axes: Axes, data: PredictionsVsTruth, k: int, norm: LogNorm) -> None:
    low, high = data.edges[0], data.edges[-1]
    if len(data.y_true) > MAX_POINTS:
        axes.imshow(
            np.ma.masked_equal(data.density[k], 0),
            cmap=_shades(TRAIT_COLOURS[TRAITS[k]]),
            norm=norm,
            extent=(low, high, low, high),
            origin="lower",
            aspect="auto",
        )
    else:
        colour = TRAIT_COLOURS[TRAITS[k]]
        points = point_style(len(data.y_true))
        axes.plot(data.y_true[:, k], data.y_pred[:, k], color=colour, **points)
    axes.plot((low, high), (low, high), "--", color="#222222", linewidth=1.0)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.grid(visible=False)
    set_ticks(axes, x=5, y=5)


def _shades(colour: str) -> Colormap:
    """Return a colour map from a tint of `colour`, through it, to a dark shade of it."""
    rgb = np.array(mpl.colors.to_rgb(colour))
    return LinearSegmentedColormap.from_list("shades", [0.75 + 0.25 * rgb, rgb, 0.35 * rgb], N=64)


def _draw_scale(axes: Axes, norm: LogNorm, style: Style) -> None:
    """Explain the darkness of the cells by a grey bar in the empty panel."""
    bar = axes.inset_axes((0.0, 0.5, 0.8, 0.08))
    amounts = np.geomspace(norm.vmin or 1, norm.vmax or 2, 64)[np.newaxis]
    bar.imshow(
        amounts,
        cmap=_shades(MUTED),
        norm=norm,
        aspect="auto",
        extent=(np.log10(norm.vmin or 1), np.log10(norm.vmax or 2), 0, 1),
    )
    ticks = [1, *(n for n in (3, 10, 30, 100, 300, 1000, 3000, 10_000) if n <= (norm.vmax or 2))]
    bar.set_xticks(np.log10(ticks), [f"{tick:,}" for tick in ticks])
    bar.set_yticks([])
    bar.grid(visible=False)
    bar.spines[:].set_visible(False)
    bar.set_title("clips in a cell, or more", size=style.font_size)


FIGURES: Final = (
    FigureSpec(
        name="predictions_vs_truth",
        folder="training_visualizations",
        title="Predicted against annotated scores",
        caption=(
            "Predicted scores over the annotated ones, one panel a trait; darker cells hold more "
            "clips. On the dashed line a prediction is exact. A cloud flatter than the line means "
            "that the model stays closer to the mean than people do."
        ),
        needs=("y_true", "y_pred"),
        uses=("split",),
        data=predictions_vs_truth_data,
        draw=draw_predictions_vs_truth,
        alt_text=describe_predictions_vs_truth,
    ),
)
"""Predictions against the annotations."""
