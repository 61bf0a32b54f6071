"""Overview figures of a run: one figure for loss and metrics, one figure for time.

Shapes: E epochs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pipeline.core.number_format import METRIC_LABELS, duration, number
from pipeline.core.traits import short_names
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
from pipeline.figures.base.spec import FigureSpec, NothingToDraw, data_or_none
from pipeline.figures.base.style import Style, trait_colours
from pipeline.figures.time import epoch_time, step_time
from pipeline.figures.training.steps import (
    LearningRate,
    draw_learning_rate_panel,
    learning_rate_data,
)
from pipeline.records.metrics_history import LearningRateLogs, MetricsHistory
from pipeline.records.time_logs import TimeLogs

_METRICS: Final = ("loss", "mae", "r2")

Data = TypeVar("Data")


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingDashboard:
    """Data of the training overview."""

    curves: Mapping[str, Curve]
    """Metric -> curve of the mean over the traits, for each metric in the history."""
    traits: Mapping[str, Curve]
    """Trait -> CCC over the epochs; empty if the history contains no CCC."""
    learning_rate: LearningRate | None
    times: TimeLogs | None


def _training_dashboard_data(
    history: MetricsHistory,
    trait_names: Sequence[str],
    lr_logs: LearningRateLogs | None = None,
    time_logs: TimeLogs | None = None,
    best_epoch: int | None = None,
) -> TrainingDashboard:
    check_epochs(history.epoch.epoch_numbers)
    names = {metric: (metric, None) for metric in _METRICS}
    curves = read_curves(history, names, best_epoch=best_epoch)
    if not curves:
        raise NothingToDraw("the history contains neither loss nor metrics.")
    return TrainingDashboard(
        curves=curves,
        traits=read_curves(history, {trait: ("ccc", trait) for trait in trait_names}),
        learning_rate=None if lr_logs is None else learning_rate_data(lr_logs, history),
        times=time_logs if time_logs is not None and time_logs.num_epochs else None,
    )


def _draw_training_dashboard(data: TrainingDashboard, style: Style) -> Figure:
    first = next(iter(data.curves.values()))
    figure, panels = build_panels(
        style,
        title="Training overview",
        sample=first.sample,
        num_panels=6,
        columns=3,
        aspect=0.7,
        legend=[*curve_handles(first), *_time_handles(data.times)],
    )
    for axes, metric in zip(panels, _METRICS, strict=False):
        _draw_or_hide(axes, draw_curve, data.curves.get(metric), f"no {METRIC_LABELS[metric]}")
    _draw_traits(panels[3], data.traits)
    _draw_or_hide(panels[4], draw_learning_rate_panel, data.learning_rate, "no learning rate")
    _draw_or_hide(panels[5], epoch_time.draw_epoch_bars, data.times, "no times")
    return figure


def _time_handles(times: TimeLogs | None) -> list[Patch]:
    handles = [] if times is None else epoch_time.epoch_handles(times)
    for handle in handles:
        handle.set_label(f"{handle.get_label()} time")
    return handles


def _describe_training_dashboard(data: TrainingDashboard) -> str:
    return " ".join(map(describe_curve, list(data.curves.values())[:2]))


@dataclass(frozen=True, kw_only=True, eq=False)
class TimeDashboard:
    """Data of the time overview."""

    training: epoch_time.TrainingTime
    steps: step_time.BatchTimes | None
    breakdown: Mapping[str, float]
    """Part of the run -> seconds."""
    throughput: epoch_time.Throughput | None


def _time_dashboard_data(
    time_logs: TimeLogs,
    history: MetricsHistory | None = None,
    num_train_clips: int | None = None,
    best_epoch: int | None = None,
) -> TimeDashboard:
    return TimeDashboard(
        training=epoch_time.training_time_data(time_logs, history, best_epoch),
        steps=data_or_none(step_time.batch_time_data, time_logs),
        breakdown=step_time.time_breakdown_data(time_logs),
        throughput=data_or_none(epoch_time.throughput_data, time_logs, num_train_clips),
    )


def _draw_time_dashboard(data: TimeDashboard, style: Style) -> Figure:
    step_legend = [] if data.steps is None else step_time.step_handles(data.steps)
    figure, panels = build_panels(
        style,
        title="Time overview",
        num_panels=6,
        columns=3,
        aspect=0.75,
        legend=[*epoch_time.epoch_handles(data.training.times), *step_legend],
    )
    epoch_time.draw_epoch_bars(panels[0], data.training.times)
    _draw_or_hide(panels[1], step_time.draw_step_distribution, data.steps, "no step was timed")
    step_time.draw_time_parts(panels[2], data.breakdown, is_brief=True)
    no_throughput = "no throughput"
    _draw_or_hide(panels[3], epoch_time.draw_throughput_panel, data.throughput, no_throughput)
    draw_loss = partial(epoch_time.draw_loss_over_time, times=data.training.times)
    _draw_or_hide(panels[4], draw_loss, data.training.loss, "no loss")
    hide_panel(panels[5])
    for row, (name, value) in enumerate(_summary(data).items()):
        height = 0.97 - 0.12 * row
        panels[5].text(0, height, name, transform=panels[5].transAxes, va="top")
        panels[5].text(1, height, value, transform=panels[5].transAxes, va="top", ha="right")
    return figure


def _describe_time_dashboard(data: TimeDashboard) -> str:
    summary = ", ".join(f"{name} {value}" for name, value in _summary(data).items())
    return f"Times: {summary}. {step_time.describe_time_breakdown(data.breakdown)}"


def _draw_or_hide(
    axes: Axes, draw: Callable[[Axes, Data], None], data: Data | None, reason: str
) -> None:
    if data is None:
        hide_panel(axes, reason)
    else:
        draw(axes, data)


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
    names = short_names(tuple(traits))
    pitch = min(0.02 + 0.05 * max(map(len, names)), 0.65 / max(1, len(names) - 1))
    colours = trait_colours(tuple(traits))
    for position, (curve, colour) in enumerate(zip(traits.values(), colours, strict=True)):
        axes.plot(curve.epochs, curve.values, color=colour, marker=marker)
        axes.text(
            1 - pitch * (len(traits) - 1 - position),
            1.03,
            names[position],
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
    title="Training overview",
    caption=(
        "Loss, MAE and R² on training (dashed) and validation clips (solid), CCC of each trait, "
        "learning rate, and measured time of each epoch. The dotted line and the numbers show the "
        "epoch of the saved model."
    ),
    data=_training_dashboard_data,
    draw=_draw_training_dashboard,
    alt_text=_describe_training_dashboard,
)

TIME: Final = FigureSpec(
    name="training_time_dashboard",
    folder="training_time_analysis",
    title="Time overview",
    caption=(
        "Measured time of the epochs, of the steps after the first epoch, and of the parts of the "
        "run; throughput of each epoch; loss over the elapsed time."
    ),
    data=_time_dashboard_data,
    draw=_draw_time_dashboard,
    alt_text=_describe_time_dashboard,
)
