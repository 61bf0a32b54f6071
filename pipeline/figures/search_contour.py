"""The value over pairs of the most important parameters.

Shapes: N complete trials that have set both parameters.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.figures.layout import build_panels
from pipeline.figures.search_colours import BAR_EM, add_colour_bar, value_colours
from pipeline.figures.search_field import FEWEST_TRIALS, cell_shares, local_mean
from pipeline.figures.search_marks import dot_handle, mark_special, special_handles
from pipeline.figures.search_parameter import (
    Parameter,
    has_slanted_ticks,
    set_parameter_axis,
)
from pipeline.figures.search_study import Study, objective_values
from pipeline.figures.search_values import ShownRange, shown_range
from pipeline.figures.spec import FigureSpec, NothingToDraw
from pipeline.figures.style import MUTED, Style, styled
from pipeline.figures.wording import count, sentence_case

MAX_PARAMETERS: Final = 4
"""Parameters that are paired; the most important ones."""

_COLUMNS: Final = 3
_MAX_NAME: Final = 24
_LEFT_EM: Final = 7.6


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """The trials over two parameters."""

    parameters: tuple[Parameter, Parameter]
    """Along the horizontal and along the vertical axis."""
    numbers: IntArray
    """Numbers of the trials, shape (N,)."""
    places: tuple[FloatArray, FloatArray]
    """Where the trials lie on both, each of shape (N,)."""
    values: FloatArray
    """Values in the first objective, shape (N,)."""
    field: FloatArray | None
    """Local means of the values, shape (H, G), NaN where no trials are near; None without one."""
    remark: str
    """Why there is no field; empty where there is one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Contours:
    """The first objective over pairs of parameters."""

    study: Study
    pairs: tuple[Pair, ...]
    """The pairs of the most important parameters, in the order of their importance."""
    shown: ShownRange


def contour_data(study: Study) -> Contours:
    """Return the values over each pair of the most important parameters.

    Raises:
        NothingToDraw: If there are fewer than two complete trials or two parameters.
    """
    trials = study.require_complete(2)
    ranked = study.ranked_parameters[:MAX_PARAMETERS]
    if len(ranked) < 2:
        raise NothingToDraw(f"needs two parameters; the space has {len(ranked)}.")
    shown = shown_range(objective_values(trials), study.objectives[0])
    pairs = itertools.combinations(ranked, 2)
    return Contours(
        study=study,
        pairs=tuple(_pair(study, first, second, shown) for first, second in pairs),
        shown=shown,
    )


@styled
def draw_contour(data: Contours, style: Style) -> Figure:
    """Draw the trials over each pair as dots, over the field of their local mean."""
    columns = min(_COLUMNS, len(data.pairs))
    rows = math.ceil(len(data.pairs) / columns)
    aspect = 0.55 if columns == 1 else 0.9
    figure, panels = build_panels(
        style,
        title=_title(data),
        rows=rows,
        columns=columns,
        aspect=aspect,
        left=_LEFT_EM,
        right=0.8,
        bottom=5.6,
        outer_right=BAR_EM,
        legend=[dot_handle("complete", colour=MUTED), *special_handles(data.study)],
    )
    panel_em = panels[0].get_position().width * style.full_width / style.em
    for axes, pair in zip(panels, data.pairs, strict=True):
        # Choices are written out left of a panel: its label stands beyond them.
        axes.yaxis.set_label_coords((1.6 - _LEFT_EM) / panel_em, 0.5)
        if has_slanted_ticks(pair.parameters[0]):
            axes.xaxis.set_label_coords(0.5, -3.8 / (panel_em * aspect))
        _draw_panel(axes, data, pair, style)
    add_colour_bar(figure, panels, data.shown, data.study.objectives[0], style)
    return figure


def describe_contour(data: Contours) -> str:
    """Return which parameters are paired, and how many pairs have a field, in one sentence."""
    names = dict.fromkeys(each.name for pair in data.pairs for each in pair.parameters)
    num_fields = sum(pair.field is not None for pair in data.pairs)
    return (
        f"{data.study.objectives[0].label} of {count(len(data.study.complete), 'complete trial')} "
        f"over {count(len(data.pairs), 'pair')} of {', '.join(names)}; {num_fields} of the pairs "
        f"{'has' if num_fields == 1 else 'have'} enough trials for a field."
    )


def _title(data: Contours) -> str:
    which = "the most important parameters" if data.study.importances else "parameters"
    title = sentence_case(f"{data.study.objectives[0].short} over pairs of {which}")
    return f"{title}; {data.shown.remark}" if data.shown.remark else title


def _pair(study: Study, first: Parameter, second: Parameter, shown: ShownRange) -> Pair:
    settings = [trial.settings for trial in study.complete]
    across, up = first.places(settings), second.places(settings)
    is_set = np.isfinite(across) & np.isfinite(up)
    places = (across[is_set], up[is_set])
    values = objective_values(study.complete)[is_set]
    numbers = np.array([trial.number for trial in study.complete], dtype=np.int64)[is_set]
    field, remark = _field(first, second, places, shown.clipped(values))
    return Pair(
        parameters=(first, second),
        numbers=numbers,
        places=places,
        values=values,
        field=field,
        remark=remark,
    )


def _field(
    first: Parameter,
    second: Parameter,
    places: tuple[FloatArray, FloatArray],
    values: FloatArray,
) -> tuple[FloatArray | None, str]:
    if len(values) < FEWEST_TRIALS:
        return None, f"no field: {count(len(values), 'trial')}, needs {FEWEST_TRIALS}"
    field = local_mean(first, second, places, values)
    if not np.isfinite(field).any():
        return None, "no field: trials too far apart"
    return field, ""


def _draw_panel(axes: Axes, data: Contours, pair: Pair, style: Style) -> None:
    first, second = pair.parameters
    colours = value_colours(data.shown)
    if pair.field is not None:
        edges = [each.unscaled(cell_shares(each)) for each in pair.parameters]
        mesh = axes.pcolormesh(
            *edges, pair.field, cmap=colours.get_cmap(), clim=colours.get_clim(), rasterized=True
        )
        mesh.set_edgecolor("none")
    # Multiples of 7 step aside in another order, so that dots do not form a diagonal.
    x = pair.places[0] + first.aside(pair.numbers)
    y = pair.places[1] + second.aside(7 * pair.numbers)
    axes.scatter(
        x,
        y,
        c=colours.to_rgba(data.shown.clipped(pair.values)),
        s=(style.font_size * (0.5 if len(pair.values) <= 100 else 0.36)) ** 2,
        edgecolors="white",
        linewidths=0.6,
        zorder=3,
    )
    set_parameter_axis(axes, first)
    set_parameter_axis(axes, second, is_vertical=True)
    axes.grid(visible=False)
    axes.set_xlabel(first.label(_MAX_NAME))
    axes.set_ylabel(second.label(_MAX_NAME))
    axes.set_title(pair.remark, loc="right", color="#555555", fontsize="small")
    numbers = [int(number) for number in pair.numbers]
    mark_special(axes, data.study, dict(zip(numbers, zip(x, y, strict=True), strict=True)))


FIGURES: Final = (
    FigureSpec(
        name="contour",
        folder="search_visualizations",
        title="Value over pairs of parameters",
        caption=(
            "The value of the complete trials over pairs of the most important parameters; the "
            "darker, the better. Dots are trials; the field between them is the mean of the "
            "trials nearby, drawn only where some are near. A dark field that is slanted says "
            "that the two parameters must be chosen together."
        ),
        needs=("study",),
        data=contour_data,
        draw=draw_contour,
        alt_text=describe_contour,
    ),
)
"""The contours."""
