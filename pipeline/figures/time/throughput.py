"""Throughput of the training part, epoch by epoch.

Shapes: E epochs.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.number_format import number
from pipeline.figures.base.curve_data import check_epochs
from pipeline.figures.base.layout import build_panels, line_handle
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import ACCENT, MUTED, Style, styled
from pipeline.figures.training.curves import MAX_MARKED_EPOCHS, set_epoch_axis
from pipeline.records.time_logs import TimeLogs


@dataclass(frozen=True, kw_only=True, eq=False)
class Throughput:
    """Work done per second in the training part of each epoch."""

    epochs: IntArray
    """Numbers of the epochs, shape (E,)."""
    rate: FloatArray
    """Work per second, shape (E,)."""
    unit: str
    """What is counted: clips or steps."""

    @property
    def median(self) -> float:
        """Median rate of the epochs after the first; of the first if it is alone."""
        return float(np.median(self.rate[1:] if len(self.rate) > 1 else self.rate))


def throughput_data(time_logs: TimeLogs, num_train_clips: int | None = None) -> Throughput:
    """Return the throughput of each epoch.

    Args:
        time_logs: The times of the run. Its measured `clips_per_second` is taken
            where there is one.
        num_train_clips: Clips in the training split; without it, steps are counted.
    """
    epochs, seconds = time_logs.epoch_numbers, time_logs.epoch_times
    check_epochs(epochs)
    if time_logs.clips_per_second.size:
        return Throughput(epochs=epochs, rate=time_logs.clips_per_second, unit="clips")
    if not seconds.all():
        raise NothingToDraw("an epoch took no measurable time.")
    if num_train_clips is not None:
        return Throughput(epochs=epochs, rate=num_train_clips / seconds, unit="clips")
    if not time_logs.batch_numbers.size:
        raise NothingToDraw("no step was timed.")
    steps_per_epoch = float(time_logs.batch_numbers[-1]) / len(epochs)
    return Throughput(epochs=epochs, rate=steps_per_epoch / seconds, unit="steps")


@styled
def draw_throughput(data: Throughput, style: Style) -> Figure:
    """Draw the throughput of each epoch."""
    handles = [line_handle("each epoch", ACCENT, "-", "o"), line_handle("median", MUTED, "--")]
    figure, (axes,) = build_panels(style, title="Throughput", width="column", legend=handles)
    draw_throughput_panel(axes, data)
    return figure


def draw_throughput_panel(axes: Axes, data: Throughput) -> None:
    """Draw the throughput into a panel."""
    marker = "o" if len(data.epochs) <= MAX_MARKED_EPOCHS else ""
    axes.axhline(data.median, color=MUTED, linestyle="--", linewidth=1.0)
    axes.plot(data.epochs, data.rate, color=ACCENT, marker=marker)
    set_epoch_axis(axes, data.epochs)
    axes.set_ylim(0, float(np.nanmax(data.rate)) * 1.1)
    axes.set_title(f"median {number(data.median)} {data.unit}/s", loc="right", color="#555555")
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"{data.unit} per second")


def describe_throughput(data: Throughput) -> str:
    """Return the throughput in one sentence."""
    median = f"{number(data.median)} {data.unit} per second"
    if len(data.rate) == 1:
        return f"The only epoch trained on {median}, start-up included."
    return (
        f"Training runs at {median} in the median of the epochs after the first, which starts up "
        f"at {number(float(data.rate[0]))}; the slowest of them has "
        f"{number(float(data.rate[1:].min()))}."
    )


FIGURES: Final = (
    FigureSpec(
        name="throughput",
        folder="training_time_analysis",
        title="Throughput",
        caption=(
            "Clips (or steps) per second in the training part of each epoch, validation left out. "
            "The first epoch also starts up and traces the graph."
        ),
        needs=("time_logs",),
        uses=("num_train_clips",),
        data=throughput_data,
        draw=draw_throughput,
        alt_text=describe_throughput,
    ),
)
"""The throughput."""
