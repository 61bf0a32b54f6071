"""Overviews of a run: one figure for its scores, one figure for its time.

Shapes: E epochs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.number_format import METRIC_LABELS, duration, number
from pipeline.core.traits import TRAITS
from pipeline.figures.base.curves import (
    Curve,
    check_epochs,
    curve_handles,
    describe_curve,
    draw_curve,
    read_curves,
    set_epoch_axis,
)
from pipeline.figures.base.layout import build_panels, hide_panel
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import TRAIT_COLOURS, Style, styled
from pipeline.figures.time.epoch_time import (
    Throughput,
    TrainingTime,
    draw_epoch_bars,
    draw_loss_over_time,
    draw_throughput_panel,
    epoch_handles,
    throughput_data,
    training_time_data,
)
from pipeline.figures.time.step_time import (
    BatchTimes,
    TimeBreakdown,
    batch_time_data,
    describe_time_breakdown,
    draw_step_distribution,
    draw_time_parts,
    step_handles,
    time_breakdown_data,
)
from pipeline.figures.training.steps import (
    LearningRate,
    draw_learning_rate_panel,
    learning_rate_data,
)
from pipeline.records.lr_logs import LearningRateLogs
from pipeline.records.metrics_history import MetricsHistory
from pipeline.records.time_logs import TimeLogs

_METRICS: Final = ("loss", "mae", "r2")


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingDashboard:
    """Overview of the scores of a run."""

    curves: Mapping[str, Curve]
    """Metric -> mean over the traits; only metrics in the history."""
    traits: Mapping[str, Curve]
    """Trait -> CCC over the epochs; empty if it is unknown."""
    learning_rate: LearningRate | None
    """Learning rate; None if it is unknown."""
    times: TimeLogs | None
    """Seconds of each epoch; None if they are unknown."""


def training_dashboard_data(
    history: MetricsHistory,
    lr_logs: LearningRateLogs | None = None,
    time_logs: TimeLogs | None = None,
) -> TrainingDashboard:
    """Return the overview of the scores of a run."""
    check_epochs(history.epoch.epoch_numbers)
    curves = read_curves(history, {metric: (metric, None) for metric in _METRICS})
    if not curves:
        raise NothingToDraw("the history contains neither loss nor metrics.")
    return TrainingDashboard(
        curves=curves,
        traits=read_curves(history, {trait: ("ccc", trait) for trait in TRAITS}),
        learning_rate=None if lr_logs is None else learning_rate_data(lr_logs, history),
        times=time_logs if time_logs is not None and time_logs.num_epochs else None,
    )


@styled
def draw_training_dashboard(data: TrainingDashboard, style: Style) -> Figure:
    """Draw the overview of the scores of a run."""
    first = next(iter(data.curves.values()))
    figure, panels = build_panels(
        style,
        title="Training overview",
        rows=2,
        columns=3,
        aspect=0.7,
        legend=curve_handles(first),
    )
    for axes, metric in zip(panels, _METRICS, strict=False):
        if metric in data.curves:
            draw_curve(axes, data.curves[metric])
        else:
            hide_panel(axes, f"no {METRIC_LABELS[metric]}")
    _draw_traits(panels[3], data.traits)
    if data.learning_rate is None:
        hide_panel(panels[4], "no learning rate")
    else:
        draw_learning_rate_panel(panels[4], data.learning_rate)
    if data.times is None:
        hide_panel(panels[5], "no times")
    else:
        draw_epoch_bars(panels[5], data.times)
    return figure


def describe_training_dashboard(data: TrainingDashboard) -> str:
    """Describe the loss and the MAE, each in one sentence."""
    shown = [data.curves[metric] for metric in ("loss", "mae") if metric in data.curves]
    return " ".join(map(describe_curve, shown))


@dataclass(frozen=True, kw_only=True, eq=False)
class TimeDashboard:
    """Overview of the time of a run."""

    training: TrainingTime
    """Seconds of each epoch, and the loss."""
    steps: BatchTimes | None
    """Seconds of each step; None if no step was timed."""
    breakdown: TimeBreakdown
    """Parts of the total time."""
    throughput: Throughput | None
    """Clips or steps per second; None if both are unknown."""


def time_dashboard_data(
    time_logs: TimeLogs,
    history: MetricsHistory | None = None,
    num_train_clips: int | None = None,
) -> TimeDashboard:
    """Return the overview of the time of a run."""
    has_steps = bool(time_logs.batch_times.size)
    has_throughput = has_steps or num_train_clips is not None
    return TimeDashboard(
        training=training_time_data(time_logs, history),
        steps=batch_time_data(time_logs) if has_steps else None,
        breakdown=time_breakdown_data(time_logs),
        throughput=throughput_data(time_logs, num_train_clips) if has_throughput else None,
    )


@styled
def draw_time_dashboard(data: TimeDashboard, style: Style) -> Figure:
    """Draw the overview of the time of a run."""
    step_legend = [] if data.steps is None else step_handles(data.steps)
    figure, panels = build_panels(
        style,
        title="Time overview",
        rows=2,
        columns=3,
        aspect=0.75,
        legend=[*epoch_handles(data.training.times), *step_legend],
    )
    draw_epoch_bars(panels[0], data.training.times)
    if data.steps is None:
        hide_panel(panels[1], "no step was timed")
    else:
        draw_step_distribution(panels[1], data.steps)
    draw_time_parts(panels[2], data.breakdown, is_brief=True)
    if data.throughput is None:
        hide_panel(panels[3], "clips and steps are unknown")
    else:
        draw_throughput_panel(panels[3], data.throughput)
    if data.training.loss is None:
        hide_panel(panels[4], "no loss")
    else:
        draw_loss_over_time(panels[4], data.training)
    hide_panel(panels[5])
    for row, (name, value) in enumerate(_summary(data).items()):
        height = 0.97 - 0.12 * row
        panels[5].text(0, height, name, transform=panels[5].transAxes, va="top")
        panels[5].text(1, height, value, transform=panels[5].transAxes, va="top", ha="right")
    return figure


def describe_time_dashboard(data: TimeDashboard) -> str:
    """Describe the summary and the parts of the total time, each in one sentence."""
    summary = ", ".join(f"{name} {value}" for name, value in _summary(data).items())
    return f"Times: {summary}. {describe_time_breakdown(data.breakdown)}"


def _summary(data: TimeDashboard) -> dict[str, str]:
    times = data.training.times
    lines = {"epochs": f"{times.num_epochs:,}", "total": duration(float(times.total_seconds))}
    if times.num_epochs > 1:
        lines["first epoch"] = duration(float(times.epoch_seconds[0]))
        lines["median epoch"] = duration(times.median_epoch)
        lines["p95 epoch"] = duration(times.p95_epoch)
    if data.steps is not None:
        median, p95 = data.steps.step_percentiles
        lines |= {"median step": duration(median), "p95 step": duration(p95)}
    if data.throughput is not None:
        lines[f"{data.throughput.unit} per second"] = number(data.throughput.median)
    return lines


def _draw_traits(axes: Axes, traits: Mapping[str, Curve]) -> None:
    if not traits:
        hide_panel(axes, "no CCC of the traits")
        return
    first = next(iter(traits.values()))
    marker = "." if len(first.epochs) == 1 else ""
    for position, (trait, curve) in enumerate(traits.items()):
        colour = TRAIT_COLOURS[trait]
        axes.plot(curve.epochs, curve.values, color=colour, marker=marker)
        axes.text(
            1 - 0.07 * (len(traits) - 1 - position),
            1.03,
            trait[0].upper(),
            transform=axes.transAxes,
            ha="right",
            weight="bold",
            color=colour,
        )
    set_epoch_axis(axes, first.epochs)
    axes.set_title("each trait")
    axes.set_ylabel(f"{first.subset} CCC")


TRAINING: Final = FigureSpec(
    name="training_dashboard",
    folder="training_visualizations",
    title="Training overview",
    caption=(
        "Loss, MAE and R² on training (dashed) and validation clips (solid), CCC of each trait, "
        "learning rate, and measured time of each epoch (validation dark)."
    ),
    needs=("history",),
    uses=("lr_logs", "time_logs"),
    data=training_dashboard_data,
    draw=draw_training_dashboard,
    alt_text=describe_training_dashboard,
)

TIME: Final = FigureSpec(
    name="training_time_dashboard",
    folder="training_time_analysis",
    title="Time overview",
    caption=(
        "Measured time of the epochs, of the steps after the first epoch, and of the parts of the "
        "run; throughput of each epoch; loss over the elapsed time."
    ),
    needs=("time_logs",),
    uses=("history", "num_train_clips"),
    data=time_dashboard_data,
    draw=draw_time_dashboard,
    alt_text=describe_time_dashboard,
)
