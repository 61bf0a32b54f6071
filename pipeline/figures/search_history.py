"""How a search went: the value of each trial, and the best so far.

Shapes: N complete trials.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray
from pipeline.figures.layout import build_panels, line_handle, set_ticks
from pipeline.figures.search_marks import (
    STATE_COLOURS,
    UNFINISHED,
    dot_handle,
    draw_ticks,
    mark_special,
    special_handles,
    tick_handles,
)
from pipeline.figures.search_study import Objective, Study, objective_values
from pipeline.figures.search_values import ShownRange, mark_beyond, set_value_axis, shown_range
from pipeline.figures.spec import FigureSpec
from pipeline.figures.style import Style, styled
from pipeline.figures.wording import count, number

_BEST_SO_FAR: Final = "#444444"


@dataclass(frozen=True, kw_only=True, eq=False)
class OptimizationHistory:
    """The values of a study's trials in the order of their numbers."""

    study: Study
    numbers: FloatArray
    """Numbers of the complete trials, shape (N,)."""
    values: tuple[FloatArray, ...]
    """Values in each objective, each of shape (N,)."""
    best_so_far: tuple[FloatArray, ...]
    """Best value up to each trial in each objective, each of shape (N,)."""
    shown: tuple[ShownRange, ...]
    """What the axis of each objective shows."""
    without_value: dict[str, list[float]]
    """State -> numbers of the trials that ended in it."""


def optimization_history_data(study: Study) -> OptimizationHistory:
    """Return the values of the trials, and the best so far.

    Raises:
        NothingToDraw: If no trial has a value.
    """
    trials = study.require_complete()
    values = tuple(objective_values(trials, place) for place in range(len(study.objectives)))
    return OptimizationHistory(
        study=study,
        numbers=np.array([trial.number for trial in trials], dtype=np.float64),
        values=values,
        best_so_far=tuple(
            _best_so_far(each, objective)
            for each, objective in zip(values, study.objectives, strict=True)
        ),
        shown=tuple(
            shown_range(each, objective)
            for each, objective in zip(values, study.objectives, strict=True)
        ),
        without_value={
            state: [float(trial.number) for trial in study.trials if trial.state == state]
            for state in UNFINISHED
        },
    )


@styled
def draw_optimization_history(data: OptimizationHistory, style: Style) -> Figure:
    """Draw the values of the trials as dots and the best so far as a step, a panel each."""
    study = data.study
    figure, panels = build_panels(
        style,
        title=f"Values of {count(len(study.trials), 'trial')}",
        columns=len(study.objectives),
        aspect=0.62 if len(study.objectives) == 2 else 0.4,
        legend=[
            dot_handle("complete"),
            line_handle("best so far", _BEST_SO_FAR),
            *special_handles(study),
            *tick_handles(study),
        ],
    )
    for place, axes in enumerate(panels):
        _draw_panel(axes, data, place)
    return figure


def describe_optimization_history(data: OptimizationHistory) -> str:
    """Return the best value, its trial and the default's value in one sentence."""
    study = data.study
    told = [f"{count(len(study.trials), 'trial')} ({study.states_in_words()})"]
    if study.best is not None:
        told.append(
            f"best {_values_in_words(study, study.best.values)} in trial {study.best.number}"
        )
    if study.default is not None:
        told.append(
            "which is the default configuration"
            if study.default is study.best
            else f"the default configuration has {_values_in_words(study, study.default.values)}"
        )
    return f"{', '.join(told)}."


def _best_so_far(values: FloatArray, objective: Objective) -> FloatArray:
    best = np.maximum if objective.is_maximised else np.minimum
    accumulated: FloatArray = best.accumulate(values)
    return accumulated


def _draw_panel(axes: Axes, data: OptimizationHistory, place: int) -> None:
    study, shown, values = data.study, data.shown[place], data.values[place]
    objective = study.objectives[place]
    within = ~shown.beyond(values)
    axes.plot(
        data.numbers[within],
        values[within],
        "o",
        color=STATE_COLOURS["complete"],
        markeredgewidth=0,
        alpha=0.75 if len(values) <= 100 else 0.5,
    )
    # The line goes on to the last trial: a search that ends with failures found nothing new.
    ends = np.append(data.numbers, max(trial.number for trial in study.trials))
    best = shown.clipped(np.append(data.best_so_far[place], data.best_so_far[place][-1]))
    axes.step(ends, best, where="post", color=_BEST_SO_FAR)
    last = max(ends.max(), 1)
    axes.set_xlim(-0.03 * last - 0.5, last * 1.03 + 0.5)
    set_value_axis(axes, shown, objective)
    set_ticks(axes, x=8, integer_x=True)
    mark_beyond(axes, data.numbers, values, shown)
    edges = shown.clipped(values)
    mark_special(
        axes,
        study,
        {
            int(number): (float(number), float(value))
            for number, value in zip(data.numbers, edges, strict=True)
        },
    )
    axes.set_xlabel("trial")
    axes.set_title(shown.remark or objective.better, loc="right", color="#555555")
    _draw_ticks_below(axes, data)


def _draw_ticks_below(axes: Axes, data: OptimizationHistory) -> None:
    """Make room below the values, and draw the trials without a value there."""
    num_rows = sum(bool(numbers) for numbers in data.without_value.values())
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.055 * num_rows * (high - low), high)
    draw_ticks(axes, data.without_value)


def _values_in_words(study: Study, values: tuple[float, ...]) -> str:
    return " and ".join(
        f"{objective.short} {number(value)}"
        for objective, value in zip(study.objectives, values, strict=True)
    )


FIGURES: Final = (
    FigureSpec(
        name="optimization_history",
        folder="search_visualizations",
        title="Values of the trials",
        caption=(
            "The value of each trial in the order in which they were begun, with the best so far "
            "as a line. Trials that were stopped early or failed have no value: they are ticks at "
            "the lower edge. A line that has been flat for long says that more trials of the same "
            "space will find little."
        ),
        needs=("study",),
        data=optimization_history_data,
        draw=draw_optimization_history,
        alt_text=describe_optimization_history,
    ),
)
"""The history."""
