"""Time of each training step, and time of each part of a run.

Shapes: S logged training steps, B bins.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.number_format import axis_unit, duration, percent
from pipeline.figures.base.curves import check_epochs
from pipeline.figures.base.layout import (
    build_panels,
    line_handle,
    name_rows,
    point_style,
    set_log_scale,
    set_note,
    set_ticks,
    set_value_axis,
)
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import ACCENT, WARNING_COLOUR, Style
from pipeline.records.time_logs import PART_NAMES, TimeLogs

_NUM_BINS: Final = 48
_MIN_SECONDS: Final = 1e-6  # resolution of the clock
_WAIT_COLOUR: Final = "#E69F00"
_MAX_BRIEF_PARTS: Final = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchTimes:
    """Step times of all epochs, and their distribution.

    The distribution excludes the first epoch, unless this is the only epoch.
    """

    times: TimeLogs
    edges: FloatArray
    """Logarithmically spaced bin edges in seconds, shape (B + 1,)."""
    step_counts: IntArray
    """Number of step times per bin, shape (B,)."""
    wait_counts: IntArray
    """Number of wait times per bin, shape (B,); zeros if wait times were not logged."""

    @property
    def step_percentiles(self) -> tuple[float, float]:
        """Median and 95th percentile of the step times in the distribution, in seconds."""
        return _percentiles(self.times.batch_times[self.times.is_steady_step])


def batch_time_data(time_logs: TimeLogs) -> BatchTimes:
    """Return the step times and their distribution."""
    if not time_logs.batch_times.size:
        raise NothingToDraw("no step was timed.")
    steps, waits = (
        np.maximum(values[time_logs.is_steady_step], _MIN_SECONDS) if values.size else values
        for values in (time_logs.batch_times, time_logs.batch_wait_times)
    )
    all_values = np.concatenate([steps, waits])
    edges = np.geomspace(all_values.min() * 0.99, all_values.max() * 1.01, _NUM_BINS + 1)
    return BatchTimes(
        times=time_logs,
        edges=edges,
        step_counts=np.histogram(steps, edges)[0],
        wait_counts=np.histogram(waits, edges)[0],
    )


def _draw_batch_time(data: BatchTimes, style: Style) -> Figure:
    first = line_handle("steps of the first epoch", WARNING_COLOUR, "none", ".")
    figure, (axes, distribution) = build_panels(
        style,
        title="Time of the steps",
        num_panels=2,
        aspect=0.66,
        legend=[*step_handles(data), first],
    )
    is_first = data.times.is_first_epoch
    for is_drawn, colour in ((~is_first, ACCENT), (is_first, WARNING_COLOUR)):
        axes.plot(
            data.times.batch_numbers[is_drawn],
            np.maximum(data.times.batch_times[is_drawn], _MIN_SECONDS) * 1e3,
            color=colour,
            **point_style(len(is_first)),
        )
    set_ticks(axes, integer_x=True)
    set_value_axis(axes, "time per step (ms)", is_log=True)
    axes.set_xlabel("step")
    draw_step_distribution(distribution, data)
    return figure


def step_handles(data: BatchTimes) -> list[Patch]:
    """Return the legend entries of the distribution."""
    handles = [Patch(color=ACCENT, label="step")]
    if data.times.batch_wait_times.size:
        handles.append(Patch(color=_WAIT_COLOUR, label="wait before the step"))
    return handles


def draw_step_distribution(axes: Axes, data: BatchTimes) -> None:
    """Draw the distribution of the step times."""
    edges = data.edges * 1e3
    axes.stairs(data.step_counts, edges, fill=True, color=ACCENT, alpha=0.85)
    if data.times.batch_wait_times.size:
        axes.stairs(data.wait_counts, edges, color=_WAIT_COLOUR, linewidth=1.6)
    median, p95 = data.step_percentiles
    axes.axvline(median * 1e3, color=ACCENT, linewidth=1.0)
    axes.axvline(p95 * 1e3, color=ACCENT, linewidth=1.0, linestyle="--")
    set_ticks(axes)
    set_log_scale(axes, "x")
    axes.set_ylim(bottom=0)
    set_note(axes, f"median {duration(median)}, p95 {duration(p95)}")
    axes.set_xlabel("time (ms) · log scale")
    axes.set_ylabel("steps")


def _describe_batch_time(data: BatchTimes) -> str:
    median, p95 = map(duration, data.step_percentiles)
    times, waits = data.times, ""
    if times.batch_wait_times.size:
        found = _percentiles(times.batch_wait_times[times.is_steady_step])
        wait_median, wait_p95 = map(duration, found)
        waits = f"; wait before a step: median {wait_median}, 95th percentile {wait_p95}"
    which = "" if times.is_first_epoch.all() else " after the first epoch"
    return f"Time per step{which}: median {median}, 95th percentile {p95}{waits}."


def _percentiles(seconds: FloatArray) -> tuple[float, float]:
    median, p95 = np.percentile(seconds, (50, 95))
    return float(median), float(p95)


def time_breakdown_data(time_logs: TimeLogs) -> dict[str, float]:
    """Return the time of each part of the run: name -> seconds, longest part first."""
    if not time_logs.breakdown:
        check_epochs(time_logs.epoch_numbers)
    return time_logs.parts()


def _draw_time_breakdown(data: Mapping[str, float], style: Style) -> Figure:
    figure, (axes,) = build_panels(
        style,
        title=f"Parts of the total time, {duration(sum(data.values()))}",
        width="column",
        aspect=0.11 * len(data),
        left=1.6,
        right=1.6,
        top=0.4,
    )
    draw_time_parts(axes, data)
    return figure


def draw_time_parts(axes: Axes, data: Mapping[str, float], *, is_brief: bool = False) -> None:
    """Draw one bar per part. If `is_brief`, small parts are combined and times are omitted."""
    data = _join_small_parts(data) if is_brief else data
    total = sum(data.values())
    factor, unit = axis_unit(total)
    values = [seconds * factor for seconds in data.values()]
    colours = [ACCENT if part == "step" else "#7F93A6" for part in data]
    height = 0.3 if is_brief else 0.42
    axes.barh(range(len(values)), values, height=height, color=colours)
    for row, (part, seconds) in enumerate(data.items()):
        time = "" if is_brief else f"{duration(seconds)}, "
        text = f"{PART_NAMES.get(part, part)}: {time}{percent(seconds / total)}"
        axes.text(0, row - height / 2 - 0.05, text, va="bottom")
    name_rows(axes, [""] * len(values))
    axes.set_ylim(len(values) - 0.6, -0.7)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"time ({unit})")


def describe_time_breakdown(data: Mapping[str, float]) -> str:
    """Return one sentence with the time of each part as a percentage of the total time."""
    total = sum(data.values())
    parts = ", ".join(
        f"{PART_NAMES.get(part, part)} {percent(seconds / total)}" for part, seconds in data.items()
    )
    return f"Measured time of {duration(total)}: {parts}."


def _join_small_parts(data: Mapping[str, float]) -> Mapping[str, float]:
    if len(data) <= _MAX_BRIEF_PARTS:
        return data
    parts = list(data.items())
    others = [seconds for _, seconds in parts[_MAX_BRIEF_PARTS - 1 :]]
    return dict(parts[: -len(others)]) | {f"{len(others)} others": sum(others)}


FIGURES: Final = (
    FigureSpec(
        name="batch_time_analysis",
        folder="training_time_analysis",
        title="Time of the steps",
        caption=(
            "Measured time of every logged step, and of the wait before the step. Lines: median "
            "(solid) and 95th percentile (dashed) of the steps. The first epoch includes graph "
            "tracing: its steps have another colour on the left and are omitted on the right."
        ),
        data=batch_time_data,
        draw=_draw_batch_time,
        alt_text=_describe_batch_time,
    ),
    FigureSpec(
        name="time_breakdown",
        folder="training_time_analysis",
        title="Parts of the total time",
        caption=(
            "Measured time of each part of the run. Training steps are blue. All other parts are "
            "overhead or validation."
        ),
        data=time_breakdown_data,
        draw=_draw_time_breakdown,
        alt_text=describe_time_breakdown,
    ),
)
