"""All parameters of every trial at once, as lines across parallel axes.

Shapes: N complete trials, A axes: the parameters, then the objectives.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.markers import TICKLEFT

from pipeline.core.arrays import FloatArray
from pipeline.figures.layout import build_panels
from pipeline.figures.search_colours import BAR_EM, add_colour_bar, value_colours
from pipeline.figures.search_marks import BEST_COLOUR, DEFAULT_COLOUR, special_lines
from pipeline.figures.search_parameter import Parameter
from pipeline.figures.search_study import Objective, Study, objective_values
from pipeline.figures.search_values import ShownRange, shown_range
from pipeline.figures.spec import FigureSpec, NothingToDraw
from pipeline.figures.style import MUTED, Style, styled
from pipeline.figures.wording import count, keeping_end, number

MAX_PARAMETERS: Final = 12
"""Parameters that are shown; the most important ones."""

NOT_SET: Final = -0.14
"""Where a line passes below the axis of a parameter that did not apply."""

_MAX_NAME: Final = 26
_MAX_TICK: Final = 9
_MAX_CHOICES: Final = 8
_SLANT: Final = 22  # degrees
_MANY: Final = 60  # trials from which only the best third is drawn in full
_HEIGHT: Final = 0.4
_BACKGROUND: Final = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6}


@dataclass(frozen=True, kw_only=True, eq=False)
class ParallelAxis:
    """One of the axes."""

    name: str
    ticks: tuple[tuple[float, str], ...]
    """Share of the axis -> what is written there."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ParallelCoordinates:
    """Where each trial crosses each axis."""

    study: Study
    axes: tuple[ParallelAxis, ...]
    """The parameters, the most important one last; then the objectives, the first one last."""
    heights: FloatArray
    """Shares of the axes, shape (N, A); `NOT_SET` where a parameter did not apply."""
    values: FloatArray
    """Values in the first objective, shape (N,)."""
    shown: ShownRange

    @property
    def has_gaps(self) -> bool:
        """Whether a parameter did not apply to a trial."""
        return bool((self.heights == NOT_SET).any())

    @property
    def worst_first(self) -> list[int]:
        """Rows of the trials in the order in which they are drawn: the best lie on top."""
        sign = 1 if self.shown.is_maximised else -1
        return [int(row) for row in np.argsort(sign * self.values, kind="stable")]


def parallel_coordinates_data(study: Study) -> ParallelCoordinates:
    """Return where each complete trial crosses each axis.

    Raises:
        NothingToDraw: If there are fewer than two complete trials, or no parameters.
    """
    trials = study.require_complete(2)
    if not study.parameters:
        raise NothingToDraw("needs a parameter; the space has none.")
    parameters = study.ranked_parameters[:MAX_PARAMETERS][::-1]
    numbers = np.array([trial.number for trial in trials], dtype=np.int64)
    places = [each.places([trial.settings for trial in trials]) for each in parameters]
    columns = [
        np.where(np.isfinite(place), each.scaled(place + each.aside(numbers)), NOT_SET)
        for each, place in zip(parameters, places, strict=True)
    ]
    axes = [ParallelAxis(name=each.name, ticks=_parameter_ticks(each)) for each in parameters]
    for row in reversed(range(len(study.objectives))):
        values, objective = objective_values(trials, row), study.objectives[row]
        shown = shown_range(values, objective)
        columns.append(_share(shown.clipped(values), shown))
        axes.append(ParallelAxis(name=objective.short, ticks=_value_ticks(shown, objective)))
    return ParallelCoordinates(
        study=study,
        axes=tuple(axes),
        heights=np.stack(columns, axis=1),
        values=values,
        shown=shown,
    )


@styled
def draw_parallel_coordinates(data: ParallelCoordinates, style: Style) -> Figure:
    """Draw each trial as a line across all axes, in the colour of its value."""
    longest = max(len(keeping_end(axis.name, _MAX_NAME)) for axis in data.axes)
    figure, (axes,) = build_panels(
        style,
        title=_title(data),
        aspect=_HEIGHT,
        left=5.0,
        right=2.0,
        top=2.4 + 0.52 * math.sin(math.radians(_SLANT)) * longest,
        bottom=1.6,
        outer_right=BAR_EM,
        legend=special_lines(data.study),
    )
    axes.set_axis_off()
    axes.set_xlim(-0.02, len(data.axes) - 1 + 0.02)
    axes.set_ylim(NOT_SET - 0.04 if data.has_gaps else -0.04, 1.03)
    _draw_lines(axes, data, style)
    for place, axis in enumerate(data.axes):
        _draw_axis(axes, place, axis)
    if data.has_gaps:
        axes.axhline(NOT_SET, color=MUTED, linewidth=0.8, linestyle=":", zorder=0)
        axes.text(
            -0.02, NOT_SET, "not set ", ha="right", va="center", size="small", color="#555555"
        )
    add_colour_bar(figure, [axes], data.shown, data.study.objectives[0], style)
    return figure


def describe_parallel_coordinates(data: ParallelCoordinates) -> str:
    """Return the settings of the three best trials in one sentence."""
    best = data.worst_first[::-1][:3]
    trials = data.study.complete
    parameters = data.study.ranked_parameters[:3]
    told = [
        f"trial {trials[row].number} ({number(float(data.values[row]))}: "
        + ", ".join(f"{each.name} {each.written(trials[row].settings)}" for each in parameters)
        + ")"
        for row in best
    ]
    return (
        f"{count(len(trials), 'complete trial')} across {len(data.axes)} axes; "
        f"the best in {data.study.objectives[0].short}: {'; '.join(told)}."
    )


def _title(data: ParallelCoordinates) -> str:
    num_shown = len(data.axes) - len(data.study.objectives)
    num_all = len(data.study.parameters)
    which = "parameters" if num_shown == num_all else f"{num_shown} of {num_all} parameters"
    title = f"{which[0].upper()}{which[1:]} of {count(len(data.values), 'complete trial')}"
    return f"{title}; {data.shown.remark}" if data.shown.remark else title


def _draw_lines(axes: Axes, data: ParallelCoordinates, style: Style) -> None:
    """Draw the trials, the best on top, and on top of all the best one and the default."""
    steps = np.arange(len(data.axes))
    order = data.worst_first
    colours = value_colours(data.shown).to_rgba(data.shown.clipped(data.values[order]))
    if len(order) > _MANY:
        colours[: 2 * len(order) // 3, 3] = 0.2
    axes.add_collection(
        LineCollection(
            [np.stack([steps, data.heights[row]], axis=1) for row in order],
            colors=colours,
            linewidths=style.line_width * (0.9 if len(order) <= _MANY else 0.6),
        )
    )
    study = data.study
    for trial, colour, line_style in (
        (study.best, BEST_COLOUR, "-"),
        (None if study.default is study.best else study.default, DEFAULT_COLOUR, "--"),
    ):
        if trial is not None:
            row = study.complete.index(trial)
            axes.plot(
                steps, data.heights[row], line_style, color=colour, linewidth=style.line_width * 1.5
            )


def _draw_axis(axes: Axes, place: int, axis: ParallelAxis) -> None:
    axes.vlines(place, 0, 1, colors="#444444", linewidth=1.0, zorder=3)
    for share, text in axis.ticks:
        # Ticks point away from what is written: a dash before a number would be its sign.
        axes.plot([place], [share], marker=TICKLEFT, color="#444444", markersize=4, zorder=3)
        axes.text(
            place,
            share,
            f" {text}",
            va="center",
            size="x-small",
            bbox=_BACKGROUND,
            zorder=4,
        )
    axes.text(
        place, 1.05, keeping_end(axis.name, _MAX_NAME), rotation=_SLANT, rotation_mode="anchor"
    )


def _parameter_ticks(parameter: Parameter) -> tuple[tuple[float, str], ...]:
    if parameter.is_choice:
        stride = -(-len(parameter.choices) // _MAX_CHOICES)
        places = np.arange(0, len(parameter.choices), stride)
        shares = parameter.scaled(places.astype(np.float64))
        labels = parameter.choice_labels(_MAX_TICK)
        return tuple(
            (float(share), labels[place]) for share, place in zip(shares, places, strict=True)
        )
    if parameter.low == parameter.high:
        return ((0.5, f"{parameter.low:.3g}"),)
    ends = parameter.unscaled(np.array([0.0, 0.5, 1.0]))
    written = [f"{end:.3g}".replace("-", "−") for end in ends]
    ticks = tuple(zip((0.0, 0.5, 1.0), written, strict=True))
    # Between two whole numbers there may be none to write.
    return ticks[::2] if parameter.is_whole else ticks


def _value_ticks(shown: ShownRange, objective: Objective) -> tuple[tuple[float, str], ...]:
    if shown.low == shown.high:
        return ((0.5, number(shown.low)),)
    return ((0.0, number(shown.low)), (1.0, number(shown.high)))


def _share(values: FloatArray, shown: ShownRange) -> FloatArray:
    if shown.low == shown.high:
        return np.full(len(values), 0.5)
    shares: FloatArray = (values - shown.low) / (shown.high - shown.low)
    return shares


FIGURES: Final = (
    FigureSpec(
        name="parallel_coordinates",
        folder="search_visualizations",
        title="All parameters at once",
        caption=(
            "Each complete trial as a line across the parameters, the most important next to the "
            "objective; the darker, the better. Where dark lines meet in one place of an axis, "
            "good trials agree on a value. A line below an axis belongs to a trial that did not "
            "set that parameter."
        ),
        needs=("study",),
        data=parallel_coordinates_data,
        draw=draw_parallel_coordinates,
        alt_text=describe_parallel_coordinates,
    ),
)
"""The parallel coordinates."""
