"""The trials of a search in time, one row a worker."""

from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pipeline.figures.layout import build_panels, name_rows
from pipeline.figures.search_marks import STATE_COLOURS, STATE_LABELS
from pipeline.figures.search_schedule import Bar, Schedule, read_schedule
from pipeline.figures.spec import FigureSpec
from pipeline.figures.style import MUTED, Style, styled
from pipeline.figures.wording import count, duration, keeping_end, percent, time_unit

_LEFT_EM: Final = 14.0
_RIGHT_EM: Final = 1.4
_MAX_NAME: Final = 25
_BAR_HEIGHT: Final = 0.78


@styled
def draw_search_timeline(data: Schedule, style: Style) -> Figure:
    """Draw each trial as a bar in the row of its worker, in the colour of how it ended."""
    width_em = style.full_width / style.em - _LEFT_EM - _RIGHT_EM
    row_em = 2.0 if len(data.rows) <= 16 else 1.2
    states = {bar.trial.state for bar in data.bars}
    workers = len({name for name in data.rows if name})
    figure, (axes,) = build_panels(
        style,
        title=f"{count(len(data.bars), 'trial')} of {count(workers, 'worker')}",
        aspect=max(3.0, len(data.rows) * row_em) / width_em,
        left=_LEFT_EM,
        right=_RIGHT_EM,
        legend=[
            Patch(color=colour, label=STATE_LABELS[state])
            for state, colour in STATE_COLOURS.items()
            if state in states
        ],
    )
    name_rows(axes, [keeping_end(name, _MAX_NAME) for name in data.rows])
    factor, unit = time_unit(data.seconds)
    seconds_per_em = data.seconds / width_em
    for bar in data.bars:
        _draw_bar(axes, bar, factor, seconds_per_em)
    for pause in data.pauses:
        axes.axvline(pause.at * factor, color=MUTED, linestyle=":", linewidth=1.2)
    axes.set_xlim(0, data.seconds * factor * 1.005 or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=(1, 2, 2.5, 5, 10)))
    without = ", long pauses left out" if data.pauses else ""
    axes.set_xlabel(f"time since the first trial began ({unit}{without})")
    axes.set_title(_remark(data), loc="right", color="#555555")
    return figure


def describe_search_timeline(data: Schedule) -> str:
    """Return how long the search took, and how busy its workers were, in one sentence."""
    workers = count(len({name for name in data.rows if name}), "worker")
    told = (
        f"{workers} ran {count(len(data.bars), 'trial')} in {duration(data.seconds)} and had one "
        f"in {percent(data.busy_share)} of that time"
    )
    if data.pauses:
        longest = max(pause.seconds for pause in data.pauses)
        told += f", {count(len(data.pauses), 'pause')} of up to {duration(longest)} left out"
    return f"{told}."


def _remark(data: Schedule) -> str:
    remark = f"trials in {percent(data.busy_share)} of the workers' time"
    if not data.pauses:
        return remark
    pauses = ", ".join(duration(pause.seconds) for pause in data.pauses[:3])
    more = f" and {len(data.pauses) - 3} more" if len(data.pauses) > 3 else ""
    return f"pause (dotted) of {pauses}{more} · {remark}"


def _draw_bar(axes: Axes, bar: Bar, factor: float, seconds_per_em: float) -> None:
    seconds = bar.end - bar.begin
    axes.barh(
        bar.row,
        seconds * factor,
        left=bar.begin * factor,
        height=_BAR_HEIGHT,
        color=STATE_COLOURS[bar.trial.state],
        edgecolor="white",
        linewidth=0.6,
        hatch="//" if bar.trial.state == "running" else None,
    )
    text = str(bar.trial.number)
    if seconds > (0.55 * len(text) + 0.5) * seconds_per_em:
        middle = (bar.begin + bar.end) / 2 * factor
        is_dark = bar.trial.state in {"complete", "failed"}
        axes.text(
            middle,
            bar.row,
            text,
            ha="center",
            va="center_baseline",
            size="small",
            color="white" if is_dark else "#222222",
        )


FIGURES: Final = (
    FigureSpec(
        name="search_timeline",
        folder="search_visualizations",
        title="Trials in time",
        caption=(
            "Each trial as a bar in the row of the worker that ran it, with its number where there "
            "is room, in the colour of how it ended. White gaps are time in which a worker waited; "
            "times in which nothing ran at all are cut out where they are long."
        ),
        needs=("study",),
        data=read_schedule,
        draw=draw_search_timeline,
        alt_text=describe_search_timeline,
    ),
)
"""The timeline."""
