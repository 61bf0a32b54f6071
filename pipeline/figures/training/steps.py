"""Values per logged training step: loss, MAE and learning rate.

Shapes: E epochs, S logged training steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.number_format import METRIC_LABELS, METRIC_NAMES, count, metric_value, number
from pipeline.figures.base.curves import check_epochs, epoch_marker, needs_log_scale, set_epoch_axis
from pipeline.figures.base.layout import (
    LineStyle,
    build_panels,
    line_handle,
    point_style,
    set_log_scale,
    set_ticks,
    set_value_axis,
)
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import ACCENT, MUTED, WARNING_COLOUR, Style
from pipeline.records.metrics_history import LearningRateLogs, MetricsHistory


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchPerformance:
    """Loss and MAE per logged batch."""

    steps: IntArray
    """Numbers of the training steps, counted from the start of the run, shape (S,)."""
    values: Mapping[str, FloatArray]
    """`loss` or `mae` -> value per logged batch, shape (S,)."""
    window: int
    """Number of steps per running mean: one epoch, but at most 10 % of all logged steps."""


def _batch_performance_data(history: MetricsHistory) -> BatchPerformance:
    steps, epochs = history.batch.batch_numbers, history.epoch.epoch_numbers
    if not steps.size:
        raise NothingToDraw("no step was logged.")
    by_metric = {"loss": history.batch.loss, "mae": history.batch.metrics.get("mae", np.empty(0))}
    values = {metric: found for metric, found in by_metric.items() if found.size}
    if not values:
        raise NothingToDraw("the steps were logged without loss and metrics.")
    check_epochs(epochs)
    window = max(1, min(len(steps) // len(epochs), len(steps) // 10))
    return BatchPerformance(steps=steps, values=values, window=window)


def running_mean(values: FloatArray, window: int) -> FloatArray:
    """Return the centred running mean, shape (S,). The first and last windows are shorter.

    Values that are not finite are ignored. The mean is NaN if the window has no finite value.
    """
    is_finite = np.isfinite(values)
    before, after = (window - 1) // 2, window // 2
    places = np.arange(len(values))
    first, last = np.maximum(places - before, 0), np.minimum(places + after + 1, len(values))
    sums = np.concatenate([[0.0], np.cumsum(np.where(is_finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(is_finite)])
    num_values = counts[last] - counts[first]
    mean = (sums[last] - sums[first]) / np.maximum(num_values, 1)
    return np.where(num_values > 0, mean, np.nan)


def _draw_batch_performance(data: BatchPerformance, style: Style) -> Figure:
    handles = [line_handle("each batch", MUTED, "none", ".")]
    if data.window > 1:
        handles.append(line_handle(f"mean over {count(data.window, 'step')}", ACCENT))
    figure, panels = build_panels(
        style,
        title="Loss and error of every batch",
        sample="training clips",
        num_panels=len(data.values),
        legend=handles,
        aspect=0.7,
    )
    for axes, (metric, values) in zip(panels, data.values.items(), strict=True):
        axes.plot(data.steps, values, color=MUTED, **point_style(len(values)))
        if data.window > 1:
            axes.plot(data.steps, running_mean(values, data.window), color=ACCENT)
        set_ticks(axes, integer_x=True)
        is_log = metric == "loss" and needs_log_scale(values)
        set_value_axis(axes, METRIC_LABELS[metric], is_log=is_log)
        axes.set_xlabel("step")
    return figure


def _describe_batch_performance(data: BatchPerformance) -> str:
    changes = []
    for metric, values in data.values.items():
        means = running_mean(values, data.window)
        first, last = (metric_value(metric, means[step]) for step in (0, -1))
        changes.append(f"the {METRIC_NAMES[metric]} goes from {first} to {last}")
    averaged = f" (running mean over {data.window} steps)" if data.window > 1 else ""
    return f"Over {count(len(data.steps), 'logged step')}{averaged}, {' and '.join(changes)}."


@dataclass(frozen=True, kw_only=True, eq=False)
class LearningRate:
    """Learning rate per epoch and per logged step."""

    epochs: IntArray
    """Epoch numbers, shape (E,)."""
    rates: FloatArray
    """Learning rate of the last step of each epoch, shape (E,)."""
    step_epochs: FloatArray
    """Position of each logged step on the epoch axis, shape (S,); empty if no step was logged."""
    step_rates: FloatArray
    """Learning rate per logged step, shape (S,)."""
    reduction_epochs: IntArray
    """Epochs in which the rate is reduced; empty if a schedule changes it in most epochs."""

    @property
    def is_marked(self) -> bool:
        """True if each epoch has a marker."""
        return bool(epoch_marker(self.epochs)) or not self.step_rates.size


def learning_rate_data(
    lr_logs: LearningRateLogs, history: MetricsHistory | None = None
) -> LearningRate:
    """Return the learning rate per epoch. If `history` is given, include each logged step."""
    check_epochs(lr_logs.epoch)
    is_reduction = lr_logs.is_reduction.astype(bool)
    # Because a schedule changes the rate in nearly every epoch, its changes are not marked.
    changes = np.diff(lr_logs.learning_rate)
    is_mostly_constant = (changes == 0).sum() >= max(1, (changes < 0).sum())
    is_marked = is_mostly_constant and is_reduction.size
    step_epochs, step_rates = _steps(history) if history is not None else (np.empty(0),) * 2
    return LearningRate(
        epochs=lr_logs.epoch,
        rates=lr_logs.learning_rate,
        step_epochs=step_epochs,
        step_rates=step_rates,
        reduction_epochs=lr_logs.epoch[is_reduction] if is_marked else lr_logs.epoch[:0],
    )


def _draw_learning_rate(data: LearningRate, style: Style) -> Figure:
    handles = []
    if data.step_rates.size:
        handles.append(line_handle("each step", ACCENT))
    if data.is_marked:
        linestyle: LineStyle = "none" if data.step_rates.size else "-"
        handles.append(line_handle("end of an epoch", ACCENT, linestyle, "o"))
    if data.reduction_epochs.size:
        handles.append(line_handle("reduction", WARNING_COLOUR, ":"))
    figure, (axes,) = build_panels(style, title="Learning rate", width="column", legend=handles)
    draw_learning_rate_panel(axes, data)
    return figure


def draw_learning_rate_panel(axes: Axes, data: LearningRate) -> None:
    """Draw the learning rate per step and per epoch."""
    has_steps = data.step_rates.size > 0
    if has_steps:
        axes.plot(data.step_epochs, data.step_rates, color=ACCENT, rasterized=True)
    if data.is_marked:
        linestyle = "none" if has_steps else "-"
        axes.plot(data.epochs, data.rates, linestyle=linestyle, marker="o", color=ACCENT)
    for epoch in data.reduction_epochs:
        # If steps are drawn, epoch n starts at x = n - 1. Otherwise, epoch n is centred at x = n.
        start = epoch - (1.0 if has_steps else 0.5)
        axes.axvline(start, color=WARNING_COLOUR, linestyle=":", linewidth=1.0)
    set_epoch_axis(axes, data.epochs)
    if has_steps:
        axes.set_xlim(left=float(data.epochs[0]) - 1)
    if data.reduction_epochs.size and needs_log_scale(data.rates):
        set_log_scale(axes)
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        formatter = ScalarFormatter(useMathText=False)
        formatter.set_powerlimits((-2, 3))
        axes.yaxis.set_major_formatter(formatter)
    axes.set_ylabel("learning rate")


def _describe_learning_rate(data: LearningRate) -> str:
    rates = data.step_rates if data.step_rates.size else data.rates
    peak = number(float(rates.max()))
    if rates.min() == rates.max():
        return f"The learning rate is constant, {peak}, for {count(len(data.epochs), 'epoch')}."
    cuts = ", ".join(map(str, data.reduction_epochs))
    tail = f", with reductions in epochs {cuts}" if cuts else ""
    return (
        f"The learning rate starts at {number(float(rates[0]))}, has a maximum of {peak} "
        f"and ends at {number(float(rates[-1]))} after {count(len(data.epochs), 'epoch')}{tail}."
    )


def _steps(history: MetricsHistory) -> tuple[FloatArray, FloatArray]:
    """Return two arrays for the logged steps: positions on the epoch axis, and learning rates."""
    rates, numbers = history.batch.learning_rate, history.batch.batch_numbers
    epochs = history.epoch.epoch_numbers
    if not rates.size or not epochs.size:
        return np.empty(0), np.empty(0)
    # If the last step is not logged, `numbers[-1]` is too small, so round up.
    steps_per_epoch = np.ceil(numbers[-1] / len(epochs))
    return epochs[0] - 1 + numbers / steps_per_epoch, rates


FIGURES: Final = (
    FigureSpec(
        name="learning_rate_changes",
        title="Learning rate",
        caption=(
            "Learning rate of every logged step and of the last step of every epoch. "
            "Dotted lines mark reductions of a rate that is otherwise constant."
        ),
        data=learning_rate_data,
        draw=_draw_learning_rate,
        alt_text=_describe_learning_rate,
    ),
    FigureSpec(
        name="batch_performance",
        title="Loss and error of every batch",
        caption=(
            "Loss and MAE of every logged batch (points) and their running mean (line) over "
            "the training steps."
        ),
        data=_batch_performance_data,
        draw=_draw_batch_performance,
        alt_text=_describe_batch_performance,
    ),
)
