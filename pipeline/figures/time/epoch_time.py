"""Time per epoch: over the run, as a distribution, and what the loss had become by then.

Shapes: E epochs.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.core.number_format import axis_unit, duration, number
from pipeline.figures.base.curve_data import Curve, check_epochs, read_curve
from pipeline.figures.base.layout import (
    build_panels,
    keep_ticks_short,
    line_handle,
    set_log_scale,
    set_ticks,
)
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import MUTED, VALIDATION_COLOUR, WARNING_COLOUR, Style, styled
from pipeline.figures.training.curves import MAX_MARKED_EPOCHS, is_logarithmic, set_epoch_axis
from pipeline.records.metrics_history import MetricsHistory
from pipeline.records.time_logs import TimeLogs

TRAIN_FILL: Final = "#A6B8C7"
VALIDATION_FILL: Final = "#33475B"

_LONG: Final = 2.5
"""Number of median epochs above which the axis may be cut below the end of an epoch."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingTime:
    """Time per epoch, and the loss over the time."""

    times: TimeLogs
    """Seconds of each epoch."""
    loss: Curve | None
    """The loss of each epoch; None where it is unknown."""

    @property
    def elapsed(self) -> FloatArray:
        """Seconds of training and validation up to the end of each epoch, shape (E,)."""
        elapsed: FloatArray = np.cumsum(self.times.epoch_seconds)
        return elapsed


def training_time_data(time_logs: TimeLogs, history: MetricsHistory | None = None) -> TrainingTime:
    """Return the time of each epoch beside its loss.

    Args:
        time_logs: The times of the run.
        history: The history of the run, for the loss.
    """
    check_epochs(time_logs.epoch_numbers)
    loss = _loss(history) if history is not None else None
    # Logs are written one after the other: a kill in between leaves one an epoch ahead.
    is_aligned = loss is not None and len(loss.epochs) == time_logs.num_epochs
    return TrainingTime(times=time_logs, loss=loss if is_aligned else None)


@styled
def draw_training_time(data: TrainingTime, style: Style) -> Figure:
    """Draw the time of each epoch, and the loss over the time."""
    figure, panels = build_panels(
        style,
        title="Time of the epochs",
        columns=1 if data.loss is None else 2,
        aspect=0.62 if data.loss is not None else 0.35,
        legend=time_handles(data.times),
    )
    draw_epoch_bars(panels[0], data.times)
    if data.loss is not None:
        draw_loss_over_time(panels[1], data)
    return figure


def describe_training_time(data: TrainingTime) -> str:
    """Return the time of the epochs in one sentence."""
    times, total = data.times, duration(data.times.total_seconds)
    if times.num_epochs == 1:
        return f"The only epoch took {total}, start-up included."
    first = duration(float(times.epoch_seconds[0]))
    return (
        f"{times.num_epochs} epochs took {total}: the first, which starts up, "
        f"{first}, the others {duration(times.median_epoch)} in the median "
        f"and {duration(times.p95_epoch)} at the 95th percentile."
    )


def time_handles(times: TimeLogs) -> list[Patch]:
    """Return the legend of the bars."""
    handles = [Patch(color=TRAIN_FILL, label="training")]
    if times.validation_times.any():
        handles.append(Patch(color=VALIDATION_FILL, label="validation"))
    return handles


def draw_epoch_bars(axes: Axes, times: TimeLogs) -> None:
    """Draw the seconds of each epoch as bars, training below validation."""
    factor, unit = axis_unit(times.median_epoch)
    edges = np.append(times.epoch_numbers - 0.5, times.epoch_numbers[-1] + 0.5)
    train, whole = times.epoch_times * factor, times.epoch_seconds * factor
    axes.stairs(train, edges, fill=True, color=TRAIN_FILL)
    axes.stairs(whole, edges, baseline=train, fill=True, color=VALIDATION_FILL)
    set_epoch_axis(axes, times.epoch_numbers)
    axes.set_ylim(0, float(times.epoch_seconds[~_is_outlier(times)].max()) * 1.2 * factor)
    _mark_outliers(axes, times)
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"time per epoch ({unit})")


def draw_loss_over_time(axes: Axes, data: TrainingTime) -> None:
    """Draw the loss over the elapsed time into a panel."""
    if data.loss is None:
        raise ValueError("the loss is unknown; draw the other panels only")
    factor, unit = axis_unit(float(data.elapsed[-1]))
    marker = "o" if len(data.elapsed) <= MAX_MARKED_EPOCHS else ""
    axes.plot(data.elapsed * factor, data.loss.decisive, color=VALIDATION_COLOUR, marker=marker)
    axes.set_xlim(left=0)
    set_ticks(axes)
    is_log = is_logarithmic(data.loss)
    if is_log:
        set_log_scale(axes)
    else:
        keep_ticks_short(axes)
    axes.set_xlabel(f"elapsed time ({unit})")
    axes.set_ylabel(f"{data.loss.side} loss" + " · log scale" * is_log)
    if data.loss.best is not None:
        reached = duration(float(data.elapsed[data.loss.best]))
        title = f"best {number(data.loss.best_value)} after {reached}"
        axes.set_title(title, loc="right", color="#555555")


def epoch_time_data(time_logs: TimeLogs) -> TimeLogs:
    """Return the seconds of each epoch.

    Args:
        time_logs: The times of the run.
    """
    check_epochs(time_logs.epoch_numbers)
    return time_logs


@styled
def draw_epoch_time(data: TimeLogs, style: Style) -> Figure:
    """Draw the time of each epoch, and the share of epochs that stay below a time."""
    lines = [line_handle("median", MUTED), line_handle("95th percentile", MUTED, "--")]
    has_distribution = len(data.steady_epochs) > 1
    figure, panels = build_panels(
        style,
        title="Distribution of the epoch times",
        columns=1 + has_distribution,
        aspect=0.62 if has_distribution else 0.35,
        legend=[*time_handles(data), *(lines if has_distribution else [])],
    )
    draw_epoch_bars(panels[0], data)
    if has_distribution:
        _draw_distribution(panels[1], data)
    return figure


def _is_outlier(times: TimeLogs) -> BoolArray:
    """Return whether an epoch is so long that the axis is cut below its end, shape (E,)."""
    seconds = times.epoch_seconds
    outlier: BoolArray = (seconds > _LONG * times.median_epoch) & (seconds > 1.5 * times.p95_epoch)
    return outlier


def _mark_outliers(axes: Axes, times: TimeLogs) -> None:
    outliers = times.epoch_numbers[_is_outlier(times)]
    if not outliers.size:
        return
    top = [axes.get_ylim()[1]] * len(outliers)
    axes.plot(outliers, top, "^", color=WARNING_COLOUR, markersize=7, clip_on=False)
    longest = duration(float(times.epoch_seconds.max()))
    text = f"▲ epoch {outliers[0]}: {longest}" if len(outliers) == 1 else f"▲ up to {longest}"
    axes.set_title(text, loc="right", color=WARNING_COLOUR)


def _draw_distribution(axes: Axes, data: TimeLogs) -> None:
    factor, unit = axis_unit(data.median_epoch)
    times = np.sort(data.steady_epochs) * factor
    shares = np.arange(1, len(times) + 1) / len(times)
    axes.step(times, shares * 100, where="post", color=VALIDATION_FILL)
    axes.plot(times, shares * 100, ".", color=VALIDATION_FILL)
    axes.axvline(data.median_epoch * factor, color=MUTED)
    axes.axvline(data.p95_epoch * factor, color=MUTED, linestyle="--")
    axes.set_ylim(0, 105)
    set_ticks(axes)
    title = f"median {duration(data.median_epoch)}, p95 {duration(data.p95_epoch)}"
    axes.set_title(title, loc="right", color="#555555")
    which = "epochs after the first" if data.num_epochs > 1 else "epochs"
    axes.set_xlabel(f"time per epoch ({unit})")
    axes.set_ylabel(f"share of {which} (%)")


def _describe_epoch_time(data: TimeLogs) -> str:
    return describe_training_time(TrainingTime(times=data, loss=None))


def _loss(history: MetricsHistory) -> Curve | None:
    try:
        return read_curve(history, "loss")
    except NothingToDraw:
        return None


FIGURES: Final = (
    FigureSpec(
        name="training_time_analysis",
        folder="training_visualizations",
        title="Time of the epochs",
        caption=(
            "Measured time of each epoch, training and validation apart, and the loss over the "
            "elapsed time. The first epoch also starts up and traces the graph."
        ),
        needs=("time_logs",),
        uses=("history",),
        data=training_time_data,
        draw=draw_training_time,
        alt_text=describe_training_time,
    ),
    FigureSpec(
        name="epoch_time_analysis",
        folder="training_time_analysis",
        title="Distribution of the epoch times",
        caption=(
            "Measured time of each epoch, and the share of the epochs after the first that stay "
            "below a time. A long way from the median to the 95 % line means that something else "
            "kept the machine busy."
        ),
        needs=("time_logs",),
        data=epoch_time_data,
        draw=draw_epoch_time,
        alt_text=_describe_epoch_time,
    ),
)
"""Time per epoch."""
