"""Time per epoch: over the run, as a distribution, and what the loss had become by then.

Shapes: E epochs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import axis_unit, duration, number
from pipeline.figures.layout import (
    build_panels,
    keep_ticks_short,
    line_handle,
    set_log_scale,
    set_ticks,
)
from pipeline.figures.records import Curve, read_curve
from pipeline.figures.spec import FigureSpec, NothingToDraw
from pipeline.figures.style import MUTED, VALIDATION_COLOUR, WARNING_COLOUR, Style, styled
from pipeline.figures.time.times import EpochTimes, epoch_times
from pipeline.figures.training.curves import MAX_MARKED_EPOCHS, is_logarithmic, set_epoch_axis

TRAIN_FILL: Final = "#A6B8C7"
VALIDATION_FILL: Final = "#33475B"


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingTime:
    """Time per epoch, and the loss over the time."""

    times: EpochTimes
    """Seconds of each epoch."""
    loss: Curve | None
    """The loss of each epoch; None where it is unknown."""

    @property
    def elapsed(self) -> FloatArray:
        """Seconds of training and validation up to the end of each epoch, shape (E,)."""
        elapsed: FloatArray = np.cumsum(self.times.total)
        return elapsed


def training_time_data(
    time_logs: Mapping[str, Any], history: Mapping[str, Any] | None = None
) -> TrainingTime:
    """Return the time of each epoch beside its loss.

    Args:
        time_logs: Content of `time_logs.json`.
        history: Content of `metrics_history.json`, which knows the loss.
    """
    times = epoch_times(time_logs)
    loss = _loss(history) if history is not None else None
    # Logs are written one after the other: a kill in between leaves one an epoch ahead.
    is_aligned = loss is not None and len(loss.epochs) == len(times.epochs)
    return TrainingTime(times=times, loss=loss if is_aligned else None)


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
    times, total = data.times, duration(float(data.times.total.sum()))
    if len(times.epochs) == 1:
        return f"The only epoch took {total}, start-up included."
    return (
        f"{len(times.epochs)} epochs took {total}: the first, which starts up, "
        f"{duration(float(times.total[0]))}, the others {duration(times.median)} in the median "
        f"and {duration(times.p95)} at the 95th percentile."
    )


def time_handles(times: EpochTimes) -> list[Patch]:
    """Return the legend of the bars."""
    handles = [Patch(color=TRAIN_FILL, label="training")]
    if times.validation.any():
        handles.append(Patch(color=VALIDATION_FILL, label="validation"))
    return handles


def draw_epoch_bars(axes: Axes, times: EpochTimes) -> None:
    """Draw the seconds of each epoch as bars, training below validation."""
    factor, unit = axis_unit(times.median)
    edges = np.append(times.epochs - 0.5, times.epochs[-1] + 0.5)
    axes.stairs(times.train * factor, edges, fill=True, color=TRAIN_FILL)
    axes.stairs(
        times.total * factor, edges, baseline=times.train * factor, fill=True, color=VALIDATION_FILL
    )
    set_epoch_axis(axes, times.epochs)
    axes.set_ylim(0, float(times.total[~times.is_outlier].max()) * 1.2 * factor)
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


def epoch_time_data(time_logs: Mapping[str, Any]) -> EpochTimes:
    """Return the seconds of each epoch.

    Args:
        time_logs: Content of `time_logs.json`.
    """
    return epoch_times(time_logs)


@styled
def draw_epoch_time(data: EpochTimes, style: Style) -> Figure:
    """Draw the time of each epoch, and the share of epochs that stay below a time."""
    lines = [line_handle("median", MUTED), line_handle("95th percentile", MUTED, "--")]
    has_distribution = len(data.steady) > 1
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


def _mark_outliers(axes: Axes, times: EpochTimes) -> None:
    outliers = times.epochs[times.is_outlier]
    if not outliers.size:
        return
    top = [axes.get_ylim()[1]] * len(outliers)
    axes.plot(outliers, top, "^", color=WARNING_COLOUR, markersize=7, clip_on=False)
    longest = duration(float(times.total.max()))
    text = f"▲ epoch {outliers[0]}: {longest}" if len(outliers) == 1 else f"▲ up to {longest}"
    axes.set_title(text, loc="right", color=WARNING_COLOUR)


def _draw_distribution(axes: Axes, data: EpochTimes) -> None:
    factor, unit = axis_unit(data.median)
    times = np.sort(data.steady) * factor
    shares = np.arange(1, len(times) + 1) / len(times)
    axes.step(times, shares * 100, where="post", color=VALIDATION_FILL)
    axes.plot(times, shares * 100, ".", color=VALIDATION_FILL)
    axes.axvline(data.median * factor, color=MUTED)
    axes.axvline(data.p95 * factor, color=MUTED, linestyle="--")
    axes.set_ylim(0, 105)
    set_ticks(axes)
    title = f"median {duration(data.median)}, p95 {duration(data.p95)}"
    axes.set_title(title, loc="right", color="#555555")
    which = "epochs after the first" if len(data.epochs) > 1 else "epochs"
    axes.set_xlabel(f"time per epoch ({unit})")
    axes.set_ylabel(f"share of {which} (%)")


def _describe_epoch_time(data: EpochTimes) -> str:
    return describe_training_time(TrainingTime(times=data, loss=None))


def _loss(history: Mapping[str, Any]) -> Curve | None:
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
