"""Loss and error of every logged step: the true values of its batch, and a running mean.

Shapes: S logged steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.number_format import METRIC_LABELS, METRIC_NAMES, count, metric_value
from pipeline.figures.base.curve_data import check_epochs
from pipeline.figures.base.layout import (
    build_panels,
    keep_ticks_short,
    line_handle,
    point_style,
    set_log_scale,
    set_ticks,
)
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import ACCENT, MUTED, Style, styled
from pipeline.records.metrics_history import MetricsHistory


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchPerformance:
    """One value per logged step, for each of some metrics."""

    steps: IntArray
    """Global numbers of the steps, shape (S,)."""
    values: Mapping[str, FloatArray]
    """Metric -> value of each step's batch alone, shape (S,)."""
    smoothed: Mapping[str, FloatArray]
    """Metric -> running mean over `window` steps, centred, shape (S,)."""
    window: int
    """Logged steps in the running mean: an epoch's worth, at most a tenth of all."""


def batch_performance_data(history: MetricsHistory) -> BatchPerformance:
    """Return the loss and the error of every logged step.

    Args:
        history: The history of the run.
    """
    steps, epochs = history.batch.batch_numbers, history.epoch.epoch_numbers
    if not steps.size:
        raise NothingToDraw("no step was logged.")
    by_metric = {"loss": history.batch.loss, "mae": history.batch.metrics.get("mae", np.empty(0))}
    values = {metric: found for metric, found in by_metric.items() if found.size}
    if not values:
        raise NothingToDraw("the steps were logged without loss and metrics.")
    check_epochs(epochs)
    window = max(1, min(len(steps) // len(epochs), len(steps) // 10))
    return BatchPerformance(
        steps=steps,
        values=values,
        smoothed={metric: running_mean(found, window) for metric, found in values.items()},
        window=window,
    )


def running_mean(values: FloatArray, window: int) -> FloatArray:
    """Return the mean over the `window` values around each one, fewer at the ends, shape (S,).

    Values that are not finite are left out; where none is left the mean is NaN.
    """
    is_finite = np.isfinite(values)
    before, behind = (window - 1) // 2, window // 2
    ends = np.arange(len(values))
    first, last = np.maximum(ends - before, 0), np.minimum(ends + behind + 1, len(values))
    sums = np.concatenate([[0.0], np.cumsum(np.where(is_finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(is_finite)])
    num_values = counts[last] - counts[first]
    mean = (sums[last] - sums[first]) / np.maximum(num_values, 1)
    return np.where(num_values > 0, mean, np.nan)


@styled
def draw_batch_performance(data: BatchPerformance, style: Style) -> Figure:
    """Draw the steps."""
    handles = [line_handle("each batch", MUTED, "none", ".")]
    if data.window > 1:
        handles.append(line_handle(f"mean over {count(data.window, 'step')}", ACCENT))
    figure, panels = build_panels(
        style,
        title="Loss and error of every batch",
        columns=len(data.values),
        legend=handles,
        aspect=0.7,
    )
    for axes, metric in zip(panels, data.values, strict=True):
        _draw_metric(axes, data, metric)
    return figure


def describe_batch_performance(data: BatchPerformance) -> str:
    """Return the steps in one sentence."""
    changes = [
        f"the {METRIC_NAMES[metric]} goes from {metric_value(metric, values[0])} "
        f"to {metric_value(metric, values[-1])}"
        for metric, values in data.smoothed.items()
    ]
    averaged = f", averaged over {data.window} of them" if data.window > 1 else ""
    return f"Over {count(len(data.steps), 'logged step')}{averaged}, {' and '.join(changes)}."


def _draw_metric(axes: Axes, data: BatchPerformance, metric: str) -> None:
    values = data.values[metric]
    axes.plot(data.steps, values, color=MUTED, **point_style(len(values)))
    if data.window > 1:
        axes.plot(data.steps, data.smoothed[metric], color=ACCENT)
    set_ticks(axes, integer_x=True)
    finite = values[np.isfinite(values)]
    is_log = metric == "loss" and finite.size > 0 and bool(finite.max() >= 10 * finite.min() > 0)
    if is_log:
        set_log_scale(axes)
    else:
        keep_ticks_short(axes)
    axes.set_xlabel("step")
    axes.set_ylabel(METRIC_LABELS[metric] + " · log scale" * is_log)


FIGURES: Final = (
    FigureSpec(
        name="batch_performance",
        folder="training_visualizations",
        title="Loss and error of every batch",
        caption=(
            "The value of every logged batch alone (points) and their running mean (line), over "
            "the steps of the whole training."
        ),
        needs=("history",),
        data=batch_performance_data,
        draw=draw_batch_performance,
        alt_text=describe_batch_performance,
    ),
)
"""The steps."""
