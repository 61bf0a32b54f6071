"""Correlation matrices: of the metrics over the epochs, and of the traits over the clips.

Shapes: E epochs, M series, N clips, K traits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import METRIC_NAMES, number
from pipeline.core.traits import short_names
from pipeline.figures.base.curves import check_epochs, read_curves
from pipeline.figures.base.layout import build_panels, describe_clips, draw_heatmap
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import Style
from pipeline.metrics.regression import as_columns, is_constant
from pipeline.records.metrics_history import MetricsHistory

_SERIES: Final = ("loss", "mae", "mse", "r2", "pcc", "ccc")
"""Metrics in the matrix. Because accuracy is 1 - MAE, accuracy is omitted."""

_MIN_EPOCHS: Final = 3
_MIN_CLIPS: Final = 3


def correlation_matrix(values: FloatArray) -> FloatArray:
    """Return the Pearson correlation of each pair of rows; NaN if one row is constant."""
    mean, deviation = values.mean(axis=1), values.std(axis=1)
    flat = is_constant(mean, deviation**2)
    scaled = (values - mean[:, None]) / np.where(flat, np.nan, deviation)[:, None]
    correlation: FloatArray = np.clip(scaled @ scaled.T / values.shape[1], -1.0, 1.0)
    return correlation


@dataclass(frozen=True, kw_only=True, eq=False)
class MetricCorrelation:
    """Correlations between losses and metrics over the epochs."""

    names: tuple[str, ...]
    """Names of the M series."""
    correlation: FloatArray
    """Pearson correlation of each pair of series, shape (M, M); NaN if one series is constant."""
    num_epochs: int
    """Number of epochs in which all series have finite values."""


def _metric_correlation_data(history: MetricsHistory) -> MetricCorrelation:
    check_epochs(history.epoch.epoch_numbers)
    curves = read_curves(history, {metric: (metric, None) for metric in _SERIES})
    series = {
        f"{subset} {METRIC_NAMES[metric]}": values
        for subset in ("validation", "training")
        for metric, curve in curves.items()
        if (values := curve.validation if subset == "validation" else curve.train) is not None
    }
    values = np.array(list(series.values()))
    values = values[:, np.isfinite(values).all(axis=0)]
    num_epochs = values.shape[1]
    if num_epochs < _MIN_EPOCHS:
        raise NothingToDraw(
            f"a correlation needs at least {_MIN_EPOCHS} epochs with all metrics, "
            f"but there are {num_epochs}."
        )
    correlation = correlation_matrix(values)
    return MetricCorrelation(names=tuple(series), correlation=correlation, num_epochs=num_epochs)


def _draw_metric_correlation(data: MetricCorrelation, style: Style) -> Figure:
    figure, (axes,) = build_panels(
        style,
        title=f"Correlation of the metrics over {data.num_epochs} epochs",
        sample="training and validation clips",
        width="full",
        aspect=0.5,
        left=9.5,
        bottom=8.5,
        right=5.0,
        top=1.0,
    )
    above = np.triu(np.ones_like(data.correlation, dtype=bool))
    visible = np.where(above, np.nan, data.correlation)[1:, :-1]
    draw_heatmap(
        axes,
        visible,
        rows=data.names[1:],
        columns=data.names[:-1],
        is_wide=True,
        has_bar=True,
    )
    return figure


def _describe_metric_correlation(data: MetricCorrelation) -> str:
    reference = "validation loss" if "validation loss" in data.names else data.names[0]
    row = data.correlation[data.names.index(reference)]
    others = ", ".join(
        f"{name} {number(float(value))}"
        for name, value in zip(data.names, row, strict=True)
        if name != reference and np.isfinite(value)
    )
    return f"Correlations with the {reference} over {data.num_epochs} epochs: {others or 'none'}."


@dataclass(frozen=True, kw_only=True, eq=False)
class TraitCorrelations:
    """Correlations between the traits; NaN for a trait with constant scores."""

    true: FloatArray
    """Correlations of the annotated scores, shape (K, K)."""
    predicted: FloatArray
    """Correlations of the predicted scores, shape (K, K)."""
    num_clips: int
    split: str
    trait_names: tuple[str, ...]

    @property
    def difference(self) -> FloatArray:
        """Predicted minus annotated correlation, shape (K, K)."""
        return self.predicted - self.true


def _trait_correlations_data(
    y_true: FloatArray,
    y_pred: FloatArray,
    trait_names: Sequence[str],
    split: str = "",
) -> TraitCorrelations:
    if len(trait_names) < 2:
        raise NothingToDraw("a correlation needs two traits, but the model has one.")
    if len(y_true) < _MIN_CLIPS:
        raise NothingToDraw(
            f"a correlation needs at least {_MIN_CLIPS} clips, but there are {len(y_true)}."
        )
    true, pred = as_columns(y_true, y_pred)
    return TraitCorrelations(
        true=correlation_matrix(true.T),
        predicted=correlation_matrix(pred.T),
        num_clips=len(true),
        split=split,
        trait_names=tuple(trait_names),
    )


def _draw_trait_correlations(data: TraitCorrelations, style: Style) -> Figure:
    figure, panels = build_panels(
        style,
        title="Correlation between the traits",
        sample=describe_clips(data.num_clips, data.split),
        num_panels=3,
        aspect=1.0,
        left=2.4,
        bottom=2.2,
        right=1.0,
        outer_right=4.0,
    )
    letters = short_names(data.trait_names)
    matrices = (
        ("annotated", data.true),
        ("predicted", data.predicted),
        ("predicted − annotated", data.difference),
    )
    for axes, (heading, values) in zip(panels, matrices, strict=True):
        has_bar = axes is panels[-1]
        draw_heatmap(axes, values, rows=letters, columns=letters, has_bar=has_bar)
        axes.tick_params(axis="x", rotation=0)
        axes.set_title(heading)
    return figure


def _describe_trait_correlations(data: TraitCorrelations) -> str:
    difference = np.where(np.tri(len(data.trait_names), k=-1) > 0, data.difference, np.nan)
    if not np.isfinite(difference).any():
        return "No correlations: fewer than 2 traits have varying annotations and predictions."
    row, column = np.unravel_index(np.nanargmax(np.abs(difference)), difference.shape)
    names = data.trait_names
    return (
        f"Mean correlation between the traits: {number(_off_diagonal_mean(data.true))} annotated, "
        f"{number(_off_diagonal_mean(data.predicted))} predicted; the largest difference, "
        f"{number(float(difference[row, column]))}, is between {names[row]} and {names[column]}."
    )


def _off_diagonal_mean(matrix: FloatArray) -> float:
    return float(np.nanmean(matrix[np.tril_indices(len(matrix), k=-1)]))


METRIC_FIGURE: Final = FigureSpec(
    name="metrics_correlation_matrix",
    title="Correlation of the metrics over the epochs",
    caption=(
        "Pearson correlation of losses and metrics over the epochs. A low correlation between "
        "training and validation values suggests overfitting. Cells of a constant series are "
        "empty."
    ),
    data=_metric_correlation_data,
    draw=_draw_metric_correlation,
    alt_text=_describe_metric_correlation,
)

TRAIT_FIGURE: Final = FigureSpec(
    name="trait_correlations",
    title="Correlation between the traits",
    caption=(
        "Pearson correlation between the traits in the annotations and in the predictions, and "
        "the difference, all in one colour scale. Red cells on the right: the correlation is "
        "higher in the predictions than in the annotations. Cells of a constant trait are empty."
    ),
    data=_trait_correlations_data,
    draw=_draw_trait_correlations,
    alt_text=_describe_trait_correlations,
)
