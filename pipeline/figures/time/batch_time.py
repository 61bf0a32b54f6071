"""Time per step and the wait before it, as distributions; the first epoch apart.

Shapes: S logged steps, B bins.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.number_format import duration
from pipeline.figures.base.layout import (
    build_panels,
    line_handle,
    point_style,
    set_log_scale,
    set_log_scale_x,
    set_ticks,
)
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import ACCENT, WARNING_COLOUR, Style, styled
from pipeline.records.time_logs import TimeLogs

_NUM_BINS: Final = 48
_SHORTEST: Final = 1e-6  # seconds; clocks tell nothing below
_WAIT_COLOUR: Final = "#E69F00"


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchTimes:
    """Times of the steps and their distribution."""

    times: TimeLogs
    """Seconds of each logged step."""
    edges: FloatArray
    """Edges of the bins in seconds, logarithmic, shape (B + 1,)."""
    step_counts: IntArray
    """Steady steps in each bin of their own time, shape (B,)."""
    wait_counts: IntArray
    """Steady steps in each bin of the wait before them, shape (B,); zeros if unknown."""

    @property
    def step_percentiles(self) -> tuple[float, float]:
        """Median and 95th percentile of the steady steps' seconds."""
        return _percentiles(self.times.batch_times[self.times.is_steady_step])

    @property
    def wait_percentiles(self) -> tuple[float, float]:
        """Median and 95th percentile of the waits before the steady steps, in seconds."""
        return _percentiles(self.times.batch_wait_times[self.times.is_steady_step])


def batch_time_data(time_logs: TimeLogs) -> BatchTimes:
    """Return the times of the steps.

    Args:
        time_logs: The times of the run.
    """
    if not time_logs.batch_times.size:
        raise NothingToDraw("no step was timed.")
    times = time_logs
    seconds = np.maximum(times.batch_times[times.is_steady_step], _SHORTEST)
    waits = np.empty(0)
    if times.batch_wait_times.size:
        waits = np.maximum(times.batch_wait_times[times.is_steady_step], _SHORTEST)
    every = np.concatenate([seconds, waits])
    edges = np.geomspace(every.min() * 0.99, every.max() * 1.01, _NUM_BINS + 1)
    return BatchTimes(
        times=times,
        edges=edges,
        step_counts=np.histogram(seconds, edges)[0],
        wait_counts=np.histogram(waits, edges)[0],
    )


@styled
def draw_batch_time(data: BatchTimes, style: Style) -> Figure:
    """Draw the steps in their order, and their distribution."""
    first = line_handle("steps of the first epoch", WARNING_COLOUR, "none", ".")
    figure, (series, distribution) = build_panels(
        style,
        title="Time of the steps",
        columns=2,
        aspect=0.66,
        legend=[*step_handles(data), first],
    )
    _draw_series(series, data.times)
    draw_step_distribution(distribution, data)
    return figure


def step_handles(data: BatchTimes) -> list[Patch]:
    """Return the legend of the steps: their own time, and where known the wait before them."""
    handles = [Patch(color=ACCENT, label="step")]
    if data.times.batch_wait_times.size:
        handles.append(Patch(color=_WAIT_COLOUR, label="wait before it"))
    return handles


def draw_step_distribution(axes: Axes, data: BatchTimes) -> None:
    """Draw the distribution of the steady steps' times into a panel."""
    edges = data.edges * 1e3
    axes.stairs(data.step_counts, edges, fill=True, color=ACCENT, alpha=0.85)
    if data.times.batch_wait_times.size:
        axes.stairs(data.wait_counts, edges, color=_WAIT_COLOUR, linewidth=1.6)
    median, p95 = data.step_percentiles
    axes.axvline(median * 1e3, color=ACCENT, linewidth=1.0)
    axes.axvline(p95 * 1e3, color=ACCENT, linewidth=1.0, linestyle="--")
    set_ticks(axes)
    set_log_scale_x(axes)
    axes.set_ylim(bottom=0)
    axes.set_title(f"median {duration(median)}, p95 {duration(p95)}", loc="right", color="#555555")
    axes.set_xlabel("time (ms) · log scale")
    axes.set_ylabel("steps")


def describe_batch_time(data: BatchTimes) -> str:
    """Return the times of the steps in one sentence."""
    median, p95 = map(duration, data.step_percentiles)
    waits = ""
    if data.times.batch_wait_times.size:
        wait_median, wait_p95 = map(duration, data.wait_percentiles)
        waits = f"; the wait before it takes {wait_median} in the median, {wait_p95} at the 95th"
    is_steady = not data.times.is_first_epoch.all()
    which = "After the first epoch a" if is_steady else "A"
    return f"{which} step takes {median} in the median and {p95} at the 95th percentile{waits}."


def _draw_series(axes: Axes, times: TimeLogs) -> None:
    first = times.is_first_epoch
    for which, colour in ((~first, ACCENT), (first, WARNING_COLOUR)):
        axes.plot(
            times.batch_numbers[which],
            np.maximum(times.batch_times[which], _SHORTEST) * 1e3,
            color=colour,
            **point_style(len(times.batch_numbers)),
        )
    set_ticks(axes, integer_x=True)
    set_log_scale(axes)
    axes.set_xlabel("step")
    axes.set_ylabel("time per step (ms) · log scale")


def _percentiles(seconds: FloatArray) -> tuple[float, float]:
    median, p95 = np.percentile(seconds, (50, 95))
    return float(median), float(p95)


FIGURES: Final = (
    FigureSpec(
        name="batch_time_analysis",
        folder="training_time_analysis",
        title="Time of the steps",
        caption=(
            "Measured time of every logged step and of the wait before it. Lines: median (solid) "
            "and 95th percentile (dashed) of the steps. Steps of the first epoch, which traces "
            "the graph, are shown apart on the left and left out on the right."
        ),
        needs=("time_logs",),
        data=batch_time_data,
        draw=draw_batch_time,
        alt_text=describe_batch_time,
    ),
)
"""Time per step."""
