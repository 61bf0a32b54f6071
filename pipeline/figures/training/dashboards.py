"""A run at a glance: one page for its scores, one for its time.

Shapes: E epochs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.number_format import METRIC_LABELS, duration, number
from pipeline.core.traits import TRAITS
from pipeline.figures.base.curve_data import Curve, check_epochs, read_curve
from pipeline.figures.base.layout import build_panels, hide_panel
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import MUTED, TRAIT_COLOURS, Style, styled
from pipeline.figures.time.batch_time import (
    BatchTimes,
    batch_time_data,
    draw_step_distribution,
    step_handles,
)
from pipeline.figures.time.epoch_time import (
    TrainingTime,
    draw_epoch_bars,
    draw_loss_over_time,
    time_handles,
    training_time_data,
)
from pipeline.figures.time.throughput import Throughput, draw_throughput_panel, throughput_data
from pipeline.figures.time.time_breakdown import (
    TimeBreakdown,
    describe_time_breakdown,
    draw_time_parts,
    time_breakdown_data,
)
from pipeline.figures.training.curves import (
    curve_handles,
    describe_curve,
    draw_curve,
    is_logarithmic,
    set_epoch_axis,
)
from pipeline.figures.training.learning_rate import (
    LearningRate,
    draw_learning_rate_panel,
    learning_rate_data,
)
from pipeline.records.metrics_history import LearningRateLogs, MetricsHistory
from pipeline.records.time_logs import TimeLogs

_CURVES: Final = ("loss", "mae", "r2")


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingDashboard:
    """The scores of a run at a glance."""

    curves: Mapping[str, Curve]
    """Loss and metrics, the mean over the traits; those that the history has."""
    traits: Mapping[str, Curve]
    """Trait -> its concordance over the epochs; empty where it is unknown."""
    learning_rate: LearningRate | None
    """The learning rate; None where it is unknown."""
    times: TimeLogs | None
    """Seconds of each epoch; None where they are unknown."""


def training_dashboard_data(
    history: MetricsHistory,
    lr_logs: LearningRateLogs | None = None,
    time_logs: TimeLogs | None = None,
) -> TrainingDashboard:
    """Return the scores of a run at a glance.

    Args:
        history: The history of the run.
        lr_logs: The learning rate of each epoch.
        time_logs: The times of the run.
    """
    check_epochs(history.epoch.epoch_numbers)
    curves = _curves(history, {metric: (metric, None) for metric in _CURVES})
    if not curves:
        raise NothingToDraw("the history holds neither loss nor metrics.")
    return TrainingDashboard(
        curves=curves,
        traits=_curves(history, {trait: ("ccc", trait) for trait in TRAITS}),
        learning_rate=None if lr_logs is None else learning_rate_data(lr_logs, history),
        times=time_logs if time_logs is not None and time_logs.num_epochs else None,
    )


@styled
def draw_training_dashboard(data: TrainingDashboard, style: Style) -> Figure:
    """Draw the scores of a run at a glance."""
    first = next(iter(data.curves.values()))
    figure, panels = build_panels(
        style,
        title="Training at a glance",
        rows=2,
        columns=3,
        aspect=0.7,
        legend=curve_handles(first),
    )
    for axes, metric in zip(panels, _CURVES, strict=False):
        if metric in data.curves:
            draw_curve(axes, data.curves[metric])
            is_log = is_logarithmic(data.curves[metric])
            axes.set_ylabel(METRIC_LABELS[metric] + " · log scale" * is_log)
            axes.set_xlabel("epoch")
        else:
            _leave_empty(axes, f"no {METRIC_LABELS[metric]}")
    _draw_traits(panels[3], data.traits)
    if data.learning_rate is None:
        _leave_empty(panels[4], "no learning rate")
    else:
        draw_learning_rate_panel(panels[4], data.learning_rate)
    if data.times is None:
        _leave_empty(panels[5], "no times")
    else:
        draw_epoch_bars(panels[5], data.times)
    return figure


def describe_training_dashboard(data: TrainingDashboard) -> str:
    """Return the loss and the MAE in one sentence each."""
    shown = [data.curves[metric] for metric in ("loss", "mae") if metric in data.curves]
    return " ".join(map(describe_curve, shown))


@dataclass(frozen=True, kw_only=True, eq=False)
class TimeDashboard:
    """The time of a run at a glance."""

    training: TrainingTime
    """Seconds of each epoch, and the loss."""
    steps: BatchTimes | None
    """Seconds of each step; None where none was timed."""
    breakdown: TimeBreakdown
    """Where the time went."""
    throughput: Throughput | None
    """Work per second; None where neither clips nor steps are known."""


def time_dashboard_data(
    time_logs: TimeLogs,
    history: MetricsHistory | None = None,
    num_train_clips: int | None = None,
) -> TimeDashboard:
    """Return the time of a run at a glance.

    Args:
        time_logs: The times of the run.
        history: The history of the run.
        num_train_clips: Clips in the training split.
    """
    training = training_time_data(time_logs, history)
    has_steps = bool(time_logs.batch_times.size)
    return TimeDashboard(
        training=training,
        steps=batch_time_data(time_logs) if has_steps else None,
        breakdown=time_breakdown_data(time_logs),
        throughput=(
            throughput_data(time_logs, num_train_clips)
            if has_steps or num_train_clips is not None
            else None
        ),
    )


@styled
def draw_time_dashboard(data: TimeDashboard, style: Style) -> Figure:
    """Draw the time of a run at a glance."""
    figure, panels = build_panels(
        style,
        title="Time at a glance",
        rows=2,
        columns=3,
        aspect=0.75,
        legend=[
            *time_handles(data.training.times),
            *([] if data.steps is None else step_handles(data.steps)),
        ],
    )
    draw_epoch_bars(panels[0], data.training.times)
    if data.steps is None:
        _leave_empty(panels[1], "no step was timed")
    else:
        draw_step_distribution(panels[1], data.steps)
    draw_time_parts(panels[2], data.breakdown, is_brief=True)
    if data.throughput is None:
        _leave_empty(panels[3], "neither clips nor steps are known")
    else:
        draw_throughput_panel(panels[3], data.throughput)
    if data.training.loss is None:
        _leave_empty(panels[4], "no loss")
    else:
        draw_loss_over_time(panels[4], data.training)
    hide_panel(panels[5])
    for row, (name, value) in enumerate(_summary(data).items()):
        height = 0.97 - 0.12 * row
        panels[5].text(0, height, name, transform=panels[5].transAxes, va="top")
        panels[5].text(1, height, value, transform=panels[5].transAxes, va="top", ha="right")
    return figure


def describe_time_dashboard(data: TimeDashboard) -> str:
    """Return the total and its parts in words."""
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


def _curves(
    history: MetricsHistory, wanted: Mapping[str, tuple[str, str | None]]
) -> dict[str, Curve]:
    curves = {}
    for name, (metric, trait) in wanted.items():
        try:
            curves[name] = read_curve(history, metric, trait)
        except NothingToDraw:
            continue
    return curves


def _draw_traits(axes: Axes, traits: Mapping[str, Curve]) -> None:
    if not traits:
        _leave_empty(axes, "no concordance of the traits")
        return
    marker = "." if len(next(iter(traits.values())).epochs) == 1 else ""
    for place, (trait, curve) in enumerate(traits.items()):
        colour = TRAIT_COLOURS[trait]
        axes.plot(curve.epochs, curve.decisive, color=colour, marker=marker)
        letter = trait[0].upper()
        axes.text(
            1 - 0.07 * (len(traits) - 1 - place),
            1.03,
            letter,
            transform=axes.transAxes,
            ha="right",
            weight="bold",
            color=colour,
        )
    curve = next(iter(traits.values()))
    set_epoch_axis(axes, curve.epochs)
    axes.set_title("each trait")
    axes.set_ylabel(f"{curve.side} CCC")
    axes.set_xlabel("epoch")


def _leave_empty(axes: Axes, reason: str) -> None:
    hide_panel(axes)
    axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", color=MUTED)


TRAINING: Final = FigureSpec(
    name="training_dashboard",
    folder="training_visualizations",
    title="Training at a glance",
    caption=(
        "Loss, MAE and R² on training (dashed) and validation clips (solid), the concordance of "
        "each trait, the learning rate, and the measured time of each epoch (validation dark)."
    ),
    needs=("history",),
    uses=("lr_logs", "time_logs"),
    data=training_dashboard_data,
    draw=draw_training_dashboard,
    alt_text=describe_training_dashboard,
)
"""The scores of a run at a glance."""

TIME: Final = FigureSpec(
    name="training_time_dashboard",
    folder="training_time_analysis",
    title="Time at a glance",
    caption=(
        "Measured time of the epochs, of the steps after the first epoch, where the time went, "
        "the throughput, and the loss over the elapsed time."
    ),
    needs=("time_logs",),
    uses=("history", "num_train_clips"),
    data=time_dashboard_data,
    draw=draw_time_dashboard,
    alt_text=describe_time_dashboard,
)
"""The time of a run at a glance."""
