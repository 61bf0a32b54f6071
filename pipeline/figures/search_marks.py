"""How trials are marked in every figure of a search: by state, the default, and the best."""

from collections.abc import Mapping
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pipeline.figures.layout import line_handle
from pipeline.figures.search_study import Study, Trial
from pipeline.figures.style import ACCENT, MUTED, PALE, WARNING_COLOUR

STATE_COLOURS: Final[Mapping[str, str]] = {
    "complete": ACCENT,
    "pruned": "#E69F00",
    "failed": WARNING_COLOUR,
    "lost": MUTED,
    "running": "#56B4E9",
    "waiting": PALE,
}
"""Colour of a trial by its state."""

STATE_LABELS: Final[Mapping[str, str]] = {
    "complete": "complete",
    "pruned": "pruned",
    "failed": "failed",
    "lost": "worker lost, tried again",
    "running": "running",
    "waiting": "waiting",
}
"""State of a trial in a legend."""

UNFINISHED: Final = ("pruned", "failed", "lost")
"""States that end a trial without a value, in the order of legends."""

BEST_COLOUR: Final = "#000000"
"""Colour of the best trial where it is a line."""

DEFAULT_COLOUR: Final = "#CC79A7"
"""Colour of the default configuration where it is a line; it is dashed too."""

_OUTLINE: Final = "#000000"

_STAR: Final = 2.6  # sizes, in those of a dot
_DIAMOND: Final = 1.7


def mark_special(axes: Axes, study: Study, place: Mapping[int, tuple[float, float]]) -> None:
    """Mark the default and the best trial.

    Args:
        axes: The panel.
        study: The study.
        place: Trial number -> x, y; one that is missing is not marked.
    """
    for trial, build_mark in ((study.default, _default_mark), (study.best, _best_mark)):
        if trial is not None and trial.number in place:
            mark = build_mark("")
            if trial is study.default is study.best:
                mark.set_markersize(_STAR * _dot_size())  # the diamond is seen behind the star
            x, y = place[trial.number]
            mark.set_data([x], [y])
            mark.set_zorder(5)
            mark.set_clip_on(False)
            axes.add_line(mark)


def special_handles(study: Study) -> list[Line2D]:
    """Return the legend's entries of the best and of the default trial."""
    handles = []
    if study.best is not None:
        of = f" in {study.objectives[0].short}" if len(study.objectives) == 2 else ""
        handles.append(_best_mark(f"best{of}: {_named(study.best, study)}"))
    if study.default is not None and study.default is not study.best:
        handles.append(_default_mark("default configuration"))
    return handles


def special_lines(study: Study) -> list[Line2D]:
    """Return the legend's entries of the best and of the default trial where trials are lines."""
    handles = []
    if study.best is not None:
        handles.append(line_handle(f"best: {_named(study.best, study)}", BEST_COLOUR))
    if study.default is not None and study.default is not study.best:
        handles.append(line_handle("default configuration", DEFAULT_COLOUR, "--"))
    return handles


def dot_handle(state: str, *, colour: str = "") -> Line2D:
    """Return a dot for the legend, in the colour of a state unless another is given."""
    return Line2D(
        [],
        [],
        linestyle="none",
        marker="o",
        color=colour or STATE_COLOURS[state],
        markeredgewidth=0,
        label=STATE_LABELS[state],
    )


def tick_handle(state: str) -> Line2D:
    """Return a short tick for the legend, for trials that have no value."""
    return Line2D(
        [],
        [],
        linestyle="none",
        marker="|",
        markersize=9,
        markeredgewidth=1.6,
        color=STATE_COLOURS[state],
        label=f"{STATE_LABELS[state]}, no value",
    )


def tick_handles(study: Study) -> list[Line2D]:
    """Return the legend's entries of the ticks of the states that occur."""
    found = {trial.state for trial in study.trials}
    return [tick_handle(state) for state in UNFINISHED if state in found]


def draw_ticks(axes: Axes, places: Mapping[str, list[float]]) -> None:
    """Draw trials without a value as ticks on the lower edge of a panel, one row a state.

    Args:
        axes: The panel, its limits set.
        places: State -> places on the x axis.
    """
    for row, state in enumerate(state for state in UNFINISHED if places.get(state)):
        axes.plot(
            places[state],
            [0.025 + 0.05 * row] * len(places[state]),
            "|",
            color=STATE_COLOURS[state],
            markersize=7,
            markeredgewidth=1.4,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
        )


def _named(trial: Trial, study: Study) -> str:
    name = f"trial {trial.number}"
    return f"{name}, the default" if trial is study.default else name


def _dot_size() -> float:
    return float(mpl.rcParams["lines.markersize"])


def _best_mark(label: str) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="none",
        marker="*",
        markersize=_STAR * _dot_size(),
        markerfacecolor="#F0E442",
        markeredgecolor=_OUTLINE,
        markeredgewidth=1.0,
        label=label,
    )


def _default_mark(label: str) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="none",
        marker="D",
        markersize=_DIAMOND * _dot_size(),
        markerfacecolor="white",
        markeredgecolor=_OUTLINE,
        markeredgewidth=1.4,
        label=label,
    )
