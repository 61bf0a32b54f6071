"""The value of the trials against each parameter, one panel a parameter.

Shapes: N complete trials.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.figures.layout import build_panels, line_handle
from pipeline.figures.search_marks import (
    STATE_COLOURS,
    UNFINISHED,
    dot_handle,
    draw_ticks,
    mark_special,
    special_handles,
    tick_handles,
)
from pipeline.figures.search_parameter import Parameter, set_parameter_axis
from pipeline.figures.search_study import Study, objective_values
from pipeline.figures.search_values import ShownRange, mark_beyond, set_value_axis, shown_range
from pipeline.figures.spec import FigureSpec, NothingToDraw
from pipeline.figures.style import Style, styled
from pipeline.figures.wording import count, number, sentence_case

MAX_PANELS: Final = 12
"""Parameters that are shown; the most important ones."""

_COLUMNS: Final = 3
_MEDIAN_COLOUR: Final = "#444444"
_FEWEST_FOR_MEDIAN: Final = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Slice:
    """The trials along one parameter."""

    parameter: Parameter
    places: FloatArray
    """Where the complete trials lie, shape (N,); NaN where the parameter did not apply."""
    places_without_value: dict[str, list[float]]
    """State -> where the trials that ended in it are drawn."""

    @property
    def num_without(self) -> int:
        """Complete trials that the parameter did not apply to."""
        return int(np.isnan(self.places).sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class Slices:
    """The first objective against each parameter, the most important first."""

    study: Study
    slices: tuple[Slice, ...]
    numbers: IntArray
    """Numbers of the complete trials, shape (N,)."""
    values: FloatArray
    """Values in the first objective, shape (N,)."""
    shown: ShownRange

    def medians(self, one: Slice) -> dict[float, float]:
        """Return the place of each choice with enough trials -> their median value."""
        if not one.parameter.is_choice:
            return {}
        groups = {
            float(place): self.values[one.places == place]
            for place in np.unique(one.places[np.isfinite(one.places)])
        }
        return {
            place: float(np.median(group))
            for place, group in groups.items()
            if len(group) >= _FEWEST_FOR_MEDIAN
        }


def slice_data(study: Study) -> Slices:
    """Return the values of the trials along each parameter.

    Raises:
        NothingToDraw: If there are fewer than two complete trials, or no parameters.
    """
    trials = study.require_complete(2)
    if not study.parameters:
        raise NothingToDraw("needs a parameter; the space has none.")
    values = objective_values(trials)
    return Slices(
        study=study,
        slices=tuple(_slice(study, each) for each in study.ranked_parameters[:MAX_PANELS]),
        numbers=np.array([trial.number for trial in trials], dtype=np.int64),
        values=values,
        shown=shown_range(values, study.objectives[0]),
    )


@styled
def draw_slice(data: Slices, style: Style) -> Figure:
    """Draw the values against each parameter as small panels of one height."""
    columns = min(_COLUMNS, len(data.slices))
    rows = math.ceil(len(data.slices) / columns)
    has_medians = any(data.medians(one) for one in data.slices)
    median = [line_handle("median of a choice", _MEDIAN_COLOUR)] if has_medians else []
    figure, panels = build_panels(
        style,
        title=_title(data),
        rows=rows,
        columns=columns,
        aspect={1: 0.4, 2: 0.62}.get(columns, 0.8),
        outer_left=3.6,
        left=3.0,
        right=1.2,
        bottom=4.6,
        legend=[
            dot_handle("complete"),
            *special_handles(data.study),
            *median,
            *tick_handles(data.study),
        ],
    )
    for place, axes in enumerate(panels):
        if place < len(data.slices):
            _draw_panel(axes, data, data.slices[place], is_first=place % columns == 0)
        else:
            figure.delaxes(axes)
    return figure


def describe_slice(data: Slices) -> str:
    """Return where the best trial lies on each parameter in one sentence."""
    objective = data.study.objectives[0]
    best = data.study.best
    if best is None:
        return f"{objective.label} of {count(len(data.values), 'complete trial')}."
    settings = ", ".join(
        f"{one.parameter.name} {one.parameter.written(best.settings)}" for one in data.slices
    )
    return (
        f"{objective.label} of {count(len(data.values), 'complete trial')} against "
        f"{count(len(data.slices), 'parameter')}; the best, {number(best.values[0])}, has "
        f"{settings}."
    )


def _title(data: Slices) -> str:
    num_shown, num_all = len(data.slices), len(data.study.parameters)
    which = "each parameter" if num_shown == num_all else f"{num_shown} of {num_all} parameters"
    title = sentence_case(f"{data.study.objectives[0].short} against {which}")
    return f"{title}; {data.shown.remark}" if data.shown.remark else title


def _slice(study: Study, parameter: Parameter) -> Slice:
    ended = {}
    for state in UNFINISHED:
        trials = [trial for trial in study.trials if trial.state == state]
        numbers = np.array([trial.number for trial in trials], dtype=np.int64)
        places = parameter.places([trial.settings for trial in trials]) + parameter.aside(numbers)
        ended[state] = places[np.isfinite(places)].tolist()
    return Slice(
        parameter=parameter,
        places=parameter.places([trial.settings for trial in study.complete]),
        places_without_value=ended,
    )


def _draw_panel(axes: Axes, data: Slices, one: Slice, *, is_first: bool) -> None:
    set_value_axis(axes, data.shown, data.study.objectives[0])
    _make_room_for_ticks(axes, data)
    places = one.places + one.parameter.aside(data.numbers)
    within = np.isfinite(places) & ~data.shown.beyond(data.values)
    alpha = 0.7 if len(data.values) <= 100 else 0.4
    colour = STATE_COLOURS["complete"]
    axes.plot(
        places[within], data.values[within], "o", color=colour, markeredgewidth=0, alpha=alpha
    )
    for place, median in data.medians(one).items():
        axes.hlines(
            data.shown.clipped(np.array([median])),
            place - 0.35,
            place + 0.35,
            colors=_MEDIAN_COLOUR,
        )
    mark_beyond(axes, places, data.values, data.shown)
    _mark_special(axes, data, places)
    draw_ticks(axes, one.places_without_value)
    set_parameter_axis(axes, one.parameter)
    axes.set_title(one.parameter.label(28))
    if not is_first:
        axes.set_ylabel("")
        axes.tick_params(axis="y", labelleft=False)
    if one.num_without:
        axes.set_xlabel(f"not set in {count(one.num_without, 'complete trial')}", color="#555555")


def _make_room_for_ticks(axes: Axes, data: Slices) -> None:
    used = {state for one in data.slices for state, at in one.places_without_value.items() if at}
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.06 * len(used) * (high - low), high)


def _mark_special(axes: Axes, data: Slices, places: FloatArray) -> None:
    edges = data.shown.clipped(data.values)
    mark_special(
        axes,
        data.study,
        {
            int(trial): (float(place), float(value))
            for trial, place, value in zip(data.numbers, places, edges, strict=True)
            if np.isfinite(place)
        },
    )


FIGURES: Final = (
    FigureSpec(
        name="slice",
        folder="search_visualizations",
        title="Value against each parameter",
        caption=(
            "The value of each complete trial against each parameter, the most important first; "
            "all other parameters vary too. Ticks at the lower edge show where trials were "
            "stopped early or failed. Good values at one edge of a panel say that the space "
            "should reach further there."
        ),
        needs=("study",),
        data=slice_data,
        draw=draw_slice,
        alt_text=describe_slice,
    ),
)
"""The slices."""
