"""Two objectives against each other, and the trials that no other beats in both.

Shapes: N complete trials, F of them on the front.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import BoolArray, FloatArray, IntArray
from pipeline.figures.layout import build_panels, line_handle, set_log_scale_x
from pipeline.figures.search_marks import STATE_COLOURS, dot_handle, mark_special, special_handles
from pipeline.figures.search_study import Study, objective_values
from pipeline.figures.search_values import ShownRange, mark_beyond, set_value_axis, shown_range
from pipeline.figures.spec import FigureSpec, NothingToDraw
from pipeline.figures.style import Style, styled
from pipeline.figures.wording import count, number, sentence_case

_FRONT_COLOUR: Final = "#444444"
_WIDE: Final = 20
"""Costs so many times apart, from the smallest to the largest, are drawn logarithmically."""
_LABEL_EM: Final = 2.2
"""Distance below which the number of a second trial is left out."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ParetoFront:
    """The values of the complete trials in both objectives."""

    study: Study
    numbers: IntArray
    """Numbers of the trials, shape (N,)."""
    first: FloatArray
    """Values in the first objective, shape (N,)."""
    second: FloatArray
    """Values in the second objective, shape (N,)."""
    is_front: BoolArray
    """Which trials no other beats in both, shape (N,)."""
    shown: ShownRange
    """What the axis of the first objective shows."""
    is_log: bool
    """Whether the axis of the second objective is logarithmic."""

    @property
    def front(self) -> IntArray:
        """Rows of the front in the order of the second objective, shape (F,)."""
        rows = np.flatnonzero(self.is_front)
        return rows[np.argsort(self.second[rows], kind="stable")]


def pareto_front_data(study: Study) -> ParetoFront:
    """Return the complete trials in both objectives.

    Raises:
        NothingToDraw: If there is one objective only, or no complete trial.
    """
    if len(study.objectives) != 2:
        raise NothingToDraw("needs two objectives; the search has one.")
    trials = study.require_complete()
    first, second = objective_values(trials, 0), objective_values(trials, 1)
    front = set(study.pareto)
    return ParetoFront(
        study=study,
        numbers=np.array([trial.number for trial in trials], dtype=np.int64),
        first=first,
        second=second,
        is_front=np.array([trial.number in front for trial in trials]),
        shown=shown_range(first, study.objectives[0]),
        is_log=bool(second.min() > 0 and second.max() / second.min() >= _WIDE),
    )


@styled
def draw_pareto_front(data: ParetoFront, style: Style) -> Figure:
    """Draw the trials in both objectives, and the front as a step."""
    figure, (axes,) = build_panels(
        style,
        title=sentence_case(" against ".join(each.short for each in data.study.objectives)),
        aspect=0.5,
        legend=[
            dot_handle("complete"),
            line_handle("front: no trial is better in both", _FRONT_COLOUR, "-", "o"),
            *special_handles(data.study),
        ],
    )
    _set_axes(axes, data)
    others = ~data.is_front & ~data.shown.beyond(data.first)
    colour = STATE_COLOURS["complete"]
    axes.plot(data.second[others], data.first[others], "o", color=colour, mew=0, alpha=0.5)
    _draw_front(axes, data, style)
    mark_beyond(axes, data.second, data.first, data.shown)
    edges = data.shown.clipped(data.first)
    at = {
        int(trial): (float(x), float(y))
        for trial, x, y in zip(data.numbers, data.second, edges, strict=True)
    }
    mark_special(axes, data.study, at)
    return figure


def describe_pareto_front(data: ParetoFront) -> str:
    """Return both ends of the front in one sentence."""
    first, second = (objective.short for objective in data.study.objectives)
    rows = data.front
    told = f"{len(rows)} of {count(len(data.numbers), 'complete trial')} form the front"
    ends = rows if len(rows) < 2 else rows[[0, -1]]
    parts = [
        f"trial {data.numbers[row]} with {first} {number(float(data.first[row]))} and {second} "
        f"{number(float(data.second[row]))}"
        for row in ends
    ]
    return f"{told}, from {' to '.join(parts)}." if parts else f"{told}."


def _set_axes(axes: Axes, data: ParetoFront) -> None:
    first, second = data.study.objectives
    set_value_axis(axes, data.shown, first)
    set_value_axis(axes, shown_range(data.second, second), second, is_vertical=False)
    if data.is_log:
        low, high = data.second.min(), data.second.max()
        axes.set_xlim(low * (low / high) ** 0.05, high * (high / low) ** 0.05)
        set_log_scale_x(axes)
    axes.set_title(
        f"{first.short}: {first.better}; {second.short}: {second.better}",
        loc="left",
        color="#555555",
    )
    axes.set_title(data.shown.remark, loc="right", color="#555555")


def _draw_front(axes: Axes, data: ParetoFront, style: Style) -> None:
    rows = data.front
    if not rows.size:
        return
    x, y = data.second[rows], data.shown.clipped(data.first[rows])
    axes.step(x, y, where="post", color=_FRONT_COLOUR, marker="o", markeredgewidth=0, zorder=3)
    # Left of the front and on its better side there is no trial: the numbers stand there.
    down = 1 if data.shown.is_maximised else -1
    last = np.array([-np.inf, -np.inf])
    for trial, place in zip(data.numbers[rows], zip(x, y, strict=True), strict=True):
        pixels = axes.transData.transform(place)
        is_named = data.study.best is not None and trial == data.study.best.number
        if not is_named and np.hypot(*(pixels - last)) > _LABEL_EM * style.em * style.dpi:
            axes.annotate(
                str(trial),
                place,
                xytext=(-0.5 * style.font_size, 0.6 * down * style.font_size),
                textcoords="offset points",
                ha="right",
                va="center",
                size="small",
                color=_FRONT_COLOUR,
            )
            last = pixels


FIGURES: Final = (
    FigureSpec(
        name="pareto_front",
        folder="search_visualizations",
        title="Both objectives",
        caption=(
            "The complete trials in both objectives. The front holds those that no other trial "
            "beats in both; their numbers stand beside them. A front that runs flat says that the "
            "smaller model costs next to nothing."
        ),
        needs=("study",),
        data=pareto_front_data,
        draw=draw_pareto_front,
        alt_text=describe_pareto_front,
    ),
)
"""The front."""
