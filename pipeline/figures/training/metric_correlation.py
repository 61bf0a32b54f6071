"""How the losses and metrics of the epochs go together.

Shapes: E epochs, M series.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import METRIC_NAMES, number
from pipeline.figures.base.curve_data import check_epochs, read_curve
from pipeline.figures.base.layout import build_panels, draw_heatmap
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import Style, styled
from pipeline.metrics.regression import is_constant
from pipeline.records.metrics_history import MetricsHistory

_METRICS: Final = ("loss", "mae", "mse", "r2", "pcc", "ccc")
"""Accuracy is left out: it is 1 - MAE, so its correlations are those of the MAE, negated."""

_MIN_EPOCHS: Final = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class MetricCorrelation:
    """The correlation of each pair of series over the epochs."""

    names: tuple[str, ...]
    """Names of the series, M of them."""
    correlation: FloatArray
    """Pearson correlation over the epochs, shape (M, M); NaN for a series that is constant."""
    num_epochs: int
    """Epochs in which all series are finite."""


def metric_correlation_data(history: MetricsHistory) -> MetricCorrelation:
    """Return how the losses and metrics correlate over the epochs.

    Args:
        history: The history of the run.
    """
    series = _series(history)
    values = np.array(list(series.values()))
    values = values[:, np.isfinite(values).all(axis=0)]
    if values.shape[1] < _MIN_EPOCHS:
        raise NothingToDraw(
            f"a correlation over the epochs needs at least {_MIN_EPOCHS} of them; "
            f"there are {values.shape[1]}."
        )
    return MetricCorrelation(
        names=tuple(series), correlation=correlation_matrix(values), num_epochs=values.shape[1]
    )


def correlation_matrix(values: FloatArray) -> FloatArray:
    """Return the Pearson correlation of each pair of rows, shape (M, M).

    Args:
        values: One series a row, shape (M, E).

    Returns:
        Values in [-1, 1]; NaN in the row and the column of a series that does not vary.
    """
    mean, deviation = values.mean(axis=1), values.std(axis=1)
    flat = is_constant(mean, deviation**2)
    scaled = (values - mean[:, None]) / np.where(flat, np.nan, deviation)[:, None]
    correlation: FloatArray = np.clip(scaled @ scaled.T / values.shape[1], -1.0, 1.0)
    return correlation


@styled
def draw_metric_correlation(data: MetricCorrelation, style: Style) -> Figure:
    """Draw the lower triangle of the matrix; the upper one would repeat it."""
    figure, (axes,) = build_panels(
        style,
        title=f"Correlation of the metrics over {data.num_epochs} epochs",
        width="full",
        aspect=0.5,
        left=9.5,
        bottom=8.5,
        right=1.0,
        top=1.0,
    )
    above = np.triu(np.ones_like(data.correlation, dtype=bool))
    visible = np.where(above, np.nan, data.correlation)[1:, :-1]
    draw_heatmap(axes, visible, rows=data.names[1:], columns=data.names[:-1], is_wide=True)
    return figure


def describe_metric_correlation(data: MetricCorrelation) -> str:
    """Return the matrix in one sentence."""
    reference = "validation loss" if "validation loss" in data.names else data.names[0]
    row = data.correlation[data.names.index(reference)]
    others = ", ".join(
        f"{number(float(value))} with {name}"
        for name, value in zip(data.names, row, strict=True)
        if name != reference and np.isfinite(value)
    )
    return f"Over {data.num_epochs} epochs the {reference} correlates {others or 'with nothing'}."


def _series(history: MetricsHistory) -> dict[str, FloatArray]:
    check_epochs(history.epoch.epoch_numbers)
    series = {}
    for side in ("validation", "train"):
        for metric in _METRICS:
            try:
                values = getattr(read_curve(history, metric), side)
            except NothingToDraw:
                continue
            if values is not None:
                series[f"{side.replace('train', 'training')} {METRIC_NAMES[metric]}"] = values
    return series


FIGURES: Final = (
    FigureSpec(
        name="metrics_correlation_matrix",
        folder="training_visualizations",
        title="Correlation of the metrics over the epochs",
        caption=(
            "Pearson correlation over the epochs of each pair of losses and metrics. Validation "
            "values that do not follow their training values are a sign of overfitting. An empty "
            "cell belongs to a series that does not vary."
        ),
        needs=("history",),
        data=metric_correlation_data,
        draw=draw_metric_correlation,
        alt_text=describe_metric_correlation,
    ),
)
"""The matrix of metrics."""
