"""Time and throughput of each epoch.

Shapes: E epochs.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.number_format import axis_unit, duration, number
from pipeline.figures.base.curves import (
    Curve,
    check_epochs,
    epoch_marker,
    read_curves,
    set_epoch_axis,
)
from pipeline.figures.base.layout import (
    build_panels,
    line_handle,
    set_note,
    set_ticks,
    set_value_axis,
)
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import ACCENT, MUTED, VALIDATION_COLOUR, WARNING_COLOUR, Style
from pipeline.records.metrics_history import MetricsHistory
from pipeline.records.time_logs import TimeLogs

_TRAIN_FILL: Final = "#A6B8C7"
_VALIDATION_FILL: Final = "#33475B"

_OUTLIER_MEDIANS: Final = 2.5
"""Minimum time of an outlier, as a multiple of the median epoch time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingTime:
    """Time per epoch, and the loss over the elapsed time."""

    times: TimeLogs
    loss: Curve | None


def training_time_data(
    time_logs: TimeLogs, history: MetricsHistory | None = None, best_epoch: int | None = None
) -> TrainingTime:
    """Return the time per epoch. If `history` is given, include the loss."""
    check_epochs(time_logs.epoch_numbers)
    names = {"loss": ("loss", None)}
    curves = {} if history is None else read_curves(history, names, best_epoch=best_epoch)
    loss = curves.get("loss")
    # If the process is killed between the update of the metrics history and the update of the
    # time logs, these files have different numbers of epochs. The loss is then omitted.
    is_aligned = loss is not None and len(loss.epochs) == time_logs.num_epochs
    return TrainingTime(times=time_logs, loss=loss if is_aligned else None)


def _draw_training_time(data: TrainingTime, style: Style) -> Figure:
    figure, panels = build_panels(
        style,
        title="Time of the epochs",
        num_panels=1 if data.loss is None else 2,
        aspect=0.62 if data.loss is not None else 0.35,
        legend=epoch_handles(data.times),
    )
    draw_epoch_bars(panels[0], data.times)
    if data.loss is not None:
        draw_loss_over_time(panels[1], data.loss, data.times)
    return figure


def _describe_training_time(data: TrainingTime) -> str:
    times, total = data.times, duration(data.times.total_seconds)
    if times.num_epochs == 1:
        return f"The only epoch took {total}, including start-up."
    first = duration(float(times.epoch_seconds[0]))
    return (
        f"{times.num_epochs} epochs took {total}: the first {first}, including start-up, and the "
        f"others {duration(times.median_epoch)} (median) and {duration(times.p95_epoch)} "
        "(95th percentile)."
    )


def epoch_handles(times: TimeLogs) -> list[Patch]:
    """Return the legend entries of the bars."""
    handles = [Patch(color=_TRAIN_FILL, label="training")]
    if times.validation_times.any():
        handles.append(Patch(color=_VALIDATION_FILL, label="validation"))
    return handles


def draw_epoch_bars(axes: Axes, times: TimeLogs) -> None:
    """Draw one stacked bar per epoch: training time below, validation time above."""
    factor, unit = axis_unit(times.median_epoch)
    edges = np.append(times.epoch_numbers - 0.5, times.epoch_numbers[-1] + 0.5)
    train, total = times.epoch_times * factor, times.epoch_seconds * factor
    axes.stairs(train, edges, fill=True, color=_TRAIN_FILL)
    axes.stairs(total, edges, baseline=train, fill=True, color=_VALIDATION_FILL)
    set_epoch_axis(axes, times.epoch_numbers)
    seconds = times.epoch_seconds
    is_outlier = (seconds > _OUTLIER_MEDIANS * times.median_epoch) & (
        seconds > 1.5 * times.p95_epoch
    )
    axes.set_ylim(0, float(seconds[~is_outlier].max()) * 1.2 * factor)
    if is_outlier.any():
        outliers, longest = times.epoch_numbers[is_outlier], duration(float(seconds.max()))
        top = [axes.get_ylim()[1]] * len(outliers)
        axes.plot(outliers, top, "^", color=WARNING_COLOUR, markersize=7, clip_on=False)
        text = f"▲ epoch {outliers[0]}: {longest}" if len(outliers) == 1 else f"▲ up to {longest}"
        set_note(axes, text, WARNING_COLOUR)
    axes.set_ylabel(f"time per epoch ({unit})")


def draw_loss_over_time(axes: Axes, loss: Curve, times: TimeLogs) -> None:
    """Draw the loss over the elapsed time."""
    elapsed = np.cumsum(times.epoch_seconds)
    factor, unit = axis_unit(float(elapsed[-1]))
    marker = epoch_marker(elapsed)
    axes.plot(elapsed * factor, loss.values, color=VALIDATION_COLOUR, marker=marker)
    axes.set_xlim(left=0)
    set_ticks(axes)
    set_value_axis(axes, f"{loss.subset} loss", is_log=loss.is_logarithmic)
    axes.set_xlabel(f"elapsed time ({unit})")
    if loss.saved is not None:
        seconds = float(elapsed[loss.saved])
        axes.axvline(seconds * factor, color=MUTED, linestyle=":", zorder=1)
        set_note(axes, f"saved model after {duration(seconds)}")


def _draw_epoch_time(data: TrainingTime, style: Style) -> Figure:
    lines = [line_handle("median", MUTED), line_handle("95th percentile", MUTED, "--")]
    has_distribution = len(data.times.steady_epochs) > 1
    figure, panels = build_panels(
        style,
        title="Distribution of the epoch times",
        num_panels=1 + has_distribution,
        aspect=0.62 if has_distribution else 0.35,
        legend=[*epoch_handles(data.times), *(lines if has_distribution else [])],
    )
    draw_epoch_bars(panels[0], data.times)
    if has_distribution:
        _draw_distribution(panels[1], data.times)
    return figure


def _draw_distribution(axes: Axes, times: TimeLogs) -> None:
    factor, unit = axis_unit(times.median_epoch)
    values = np.sort(times.steady_epochs) * factor
    percents = 100 * np.arange(1, len(values) + 1) / len(values)
    axes.step(values, percents, where="post", color=_VALIDATION_FILL)
    axes.plot(values, percents, ".", color=_VALIDATION_FILL)
    axes.axvline(times.median_epoch * factor, color=MUTED)
    axes.axvline(times.p95_epoch * factor, color=MUTED, linestyle="--")
    axes.set_ylim(0, 105)
    set_ticks(axes)
    set_note(axes, f"median {duration(times.median_epoch)}, p95 {duration(times.p95_epoch)}")
    axes.set_xlabel(f"time per epoch ({unit})")
    axes.set_ylabel("share of epochs after the first (%)")


@dataclass(frozen=True, kw_only=True, eq=False)
class Throughput:
    """Throughput of each epoch during training, without validation."""

    epochs: IntArray
    """Epoch numbers, shape (E,)."""
    rate: FloatArray
    """Clips or steps per second, shape (E,)."""
    unit: str
    """`clips` or `steps`."""

    @property
    def median(self) -> float:
        """Median rate of all epochs except the first. If there is only one epoch, its rate."""
        return float(np.median(self.rate[1:] if len(self.rate) > 1 else self.rate))


def throughput_data(time_logs: TimeLogs, num_train_clips: int | None = None) -> Throughput:
    """Return clips per second, or training steps per second if the number of clips is unknown."""
    epochs, seconds = time_logs.epoch_numbers, time_logs.epoch_times
    check_epochs(epochs)
    if time_logs.clips_per_second.size:
        return Throughput(epochs=epochs, rate=time_logs.clips_per_second, unit="clips")
    if not seconds.all():
        raise NothingToDraw("the time of an epoch is zero.")
    if num_train_clips is not None:
        return Throughput(epochs=epochs, rate=num_train_clips / seconds, unit="clips")
    if not time_logs.batch_numbers.size:
        raise NothingToDraw("no step was timed.")
    steps_per_epoch = float(time_logs.batch_numbers[-1]) / len(epochs)
    return Throughput(epochs=epochs, rate=steps_per_epoch / seconds, unit="steps")


def _draw_throughput(data: Throughput, style: Style) -> Figure:
    handles = [line_handle("each epoch", ACCENT, "-", "o"), line_handle("median", MUTED, "--")]
    figure, (axes,) = build_panels(style, title="Throughput", width="column", legend=handles)
    draw_throughput_panel(axes, data)
    return figure


def draw_throughput_panel(axes: Axes, data: Throughput) -> None:
    """Draw the throughput per epoch."""
    axes.axhline(data.median, color=MUTED, linestyle="--", linewidth=1.0)
    axes.plot(data.epochs, data.rate, color=ACCENT, marker=epoch_marker(data.epochs))
    set_epoch_axis(axes, data.epochs)
    axes.set_ylim(0, float(np.nanmax(data.rate)) * 1.1)
    set_note(axes, f"median {number(data.median)} {data.unit}/s")
    axes.set_ylabel(f"{data.unit} per second")


def _describe_throughput(data: Throughput) -> str:
    median = f"{number(data.median)} {data.unit} per second"
    if len(data.rate) == 1:
        return f"The throughput of the only epoch is {median}, including start-up."
    return (
        f"The median throughput of the epochs after the first is {median}, the lowest "
        f"{number(float(data.rate[1:].min()))}; the first epoch, including start-up, has "
        f"{number(float(data.rate[0]))}."
    )


EPOCH_FIGURES: Final = (
    FigureSpec(
        name="training_time_analysis",
        title="Time of the epochs",
        caption=(
            "Measured time of each epoch, divided into training and validation, and the loss over "
            "the elapsed time. The first epoch includes start-up and graph tracing."
        ),
        data=training_time_data,
        draw=_draw_training_time,
        alt_text=_describe_training_time,
    ),
    FigureSpec(
        name="epoch_time_analysis",
        folder="training_time_analysis",
        title="Distribution of the epoch times",
        caption=(
            "Measured time of each epoch, divided into training and validation, and the "
            "cumulative distribution of the epochs after the first. Triangles mark epochs beyond "
            "the axis. A 95th percentile far above the median suggests other load on the machine."
        ),
        data=training_time_data,
        draw=_draw_epoch_time,
        alt_text=_describe_training_time,
    ),
)

THROUGHPUT: Final = FigureSpec(
    name="throughput",
    folder="training_time_analysis",
    title="Throughput",
    caption=(
        "Clips or steps per second in the training part of each epoch, without validation. "
        "The first epoch includes start-up and graph tracing."
    ),
    data=throughput_data,
    draw=_draw_throughput,
    alt_text=_describe_throughput,
)
