"""The value of a trial as a colour: the darker, the better."""

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from pipeline.figures.search_study import Objective
from pipeline.figures.search_values import ShownRange
from pipeline.figures.style import SEQUENTIAL, Style

BAR_EM = 8.5
"""Room that a colour bar needs right of the panels, in em."""


def value_colours(shown: ShownRange) -> ScalarMappable:
    """Return what turns values into colours; better values are darker, on white the eye's first."""
    norm = Normalize(shown.low, shown.high if shown.high > shown.low else shown.low + 1.0)
    return ScalarMappable(norm=norm, cmap=_colour_map(shown))


def add_colour_bar(
    figure: Figure, panels: Sequence[Axes], shown: ShownRange, objective: Objective, style: Style
) -> None:
    """Draw the scale of the colours right of the panels, as high as all of them."""
    width = figure.get_size_inches()[0]
    bottom = min(axes.get_position().y0 for axes in panels)
    top = max(axes.get_position().y1 for axes in panels)
    left = 1 - (BAR_EM - 1.0) * style.em / width
    place = figure.add_axes((left, bottom, 0.9 * style.em / width, top - bottom))
    bar = figure.colorbar(
        value_colours(shown), cax=place, extend=_beyond(shown), extendfrac=0.03, extendrect=False
    )
    bar.outline.set_visible(False)
    place.tick_params(length=2)
    place.grid(visible=False)
    place.set_ylabel(f"{objective.label}, darker is better", size="small")


def _colour_map(shown: ShownRange) -> Colormap:
    colours = mpl.colormaps[SEQUENTIAL]
    return colours.reversed() if shown.is_maximised else colours


def _beyond(shown: ShownRange) -> str:
    if not shown.num_beyond:
        return "neither"
    return "min" if shown.is_maximised else "max"
