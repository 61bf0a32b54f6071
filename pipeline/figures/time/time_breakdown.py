"""Where the time of a run went: only what was measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.number_format import axis_unit, duration, percent
from pipeline.figures.base.curve_data import check_epochs
from pipeline.figures.base.layout import build_panels, name_rows
from pipeline.figures.base.spec import FigureSpec
from pipeline.figures.base.style import ACCENT, Style, styled
from pipeline.records.time_logs import TimeLogs

_MAX_BRIEF_PARTS: Final = 5

_PART_LABELS: Final[Mapping[str, str]] = {
    "start": "start-up",
    "step": "training steps",
    "input": "waiting for input",
    "wait": "waits between steps",
    "checkpoint": "checkpoints",
    "rest": "rest of the epochs",
}
"""Labels of the parts of a run; the label of any other part is its name."""


@dataclass(frozen=True, kw_only=True)
class TimeBreakdown:
    """Parts of a run's time."""

    seconds: Mapping[str, float]
    """Part -> seconds, longest first."""

    @property
    def total(self) -> float:
        """Seconds of all parts together."""
        return sum(self.seconds.values())

    @property
    def shares(self) -> Mapping[str, float]:
        """Part -> share of the total, in [0, 1]."""
        return {part: seconds / self.total for part, seconds in self.seconds.items()}


def time_breakdown_data(time_logs: TimeLogs) -> TimeBreakdown:
    """Return where the time went.

    Args:
        time_logs: The times of the run.
    """
    if not time_logs.breakdown:
        check_epochs(time_logs.epoch_numbers)
    return TimeBreakdown(seconds=time_logs.parts())


@styled
def draw_time_breakdown(data: TimeBreakdown, style: Style) -> Figure:
    """Draw one bar a part."""
    figure, (axes,) = build_panels(
        style,
        title=f"Where {duration(data.total)} went",
        width="column",
        aspect=0.06 + 0.11 * len(data.seconds),
        left=1.6,
        right=1.6,
    )
    draw_time_parts(axes, data)
    return figure


def draw_time_parts(axes: Axes, data: TimeBreakdown, *, is_brief: bool = False) -> None:
    """Draw one bar a part into a panel, with its name and share.

    Args:
        axes: The panel.
        data: The parts.
        is_brief: Whether the smallest parts are joined, and the times left to the axis.
    """
    data = _joined(data) if is_brief else data
    factor, unit = axis_unit(data.total)
    values = [seconds * factor for seconds in data.seconds.values()]
    colours = [ACCENT if part == "step" else "#7F93A6" for part in data.seconds]
    height = 0.3 if is_brief else 0.42
    axes.barh(range(len(values)), values, height=height, color=colours)
    for row, (part, seconds) in enumerate(data.seconds.items()):
        time = "" if is_brief else f"{duration(seconds)}, "
        text = f"{part_label(part)}: {time}{percent(data.shares[part])}"
        axes.text(0, row - height / 2 - 0.05, text, va="bottom")
    name_rows(axes, [""] * len(values))
    axes.set_ylim(len(values) - 0.6, -0.85)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"time ({unit})")


def _joined(data: TimeBreakdown) -> TimeBreakdown:
    """Return a breakdown of few parts: the longest, and the others as one."""
    if len(data.seconds) <= _MAX_BRIEF_PARTS:
        return data
    parts = list(data.seconds.items())
    others = parts[_MAX_BRIEF_PARTS - 1 :]
    name = f"{len(others)} others"
    return TimeBreakdown(seconds=dict(parts[: -len(others)]) | {name: sum(s for _, s in others)})


def part_label(part: str) -> str:
    """Return what a part of the time is called; its own name if it has no other."""
    return _PART_LABELS.get(part, part)


def describe_time_breakdown(data: TimeBreakdown) -> str:
    """Return the parts in one sentence."""
    parts = ", ".join(f"{part_label(part)} {percent(share)}" for part, share in data.shares.items())
    return f"Of {duration(data.total)} measured: {parts}."


FIGURES: Final = (
    FigureSpec(
        name="time_breakdown",
        folder="training_time_analysis",
        title="Where the time went",
        caption=(
            "Measured time of each part of the run. The training steps themselves are blue; all "
            "else is overhead, or the price of knowing the score."
        ),
        needs=("time_logs",),
        data=time_breakdown_data,
        draw=draw_time_breakdown,
        alt_text=describe_time_breakdown,
    ),
)
"""The parts of the time."""
