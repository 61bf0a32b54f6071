"""Whether the heads look at the same, so that some could be spared.

Shapes: H heads.
"""

from dataclasses import dataclass
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import number
from pipeline.figures.attention.wording import FOLDER, map_name, require_attention
from pipeline.figures.base.layout import build_panels, hide_panel
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import SEQUENTIAL, Style, styled
from pipeline.records.attention import AttentionMeasurements

_MAX_COLUMNS: Final = 3
_MAX_WRITTEN_HEADS: Final = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class MapAgreement:
    """How alike the heads of one map look."""

    name: str
    """Name of the map."""
    matrix: FloatArray
    """Mean over clips and queries, in [0, 1], 1 is the same look, shape (H, H)."""

    @property
    def mean(self) -> float:
        """The mean over pairs of different heads."""
        return float(self.matrix[np.tril_indices(len(self.matrix), k=-1)].mean())


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadAgreement:
    """How alike the heads look, by map."""

    maps: tuple[MapAgreement, ...]


def head_agreement_data(attention: AttentionMeasurements) -> HeadAgreement:
    """Return how alike the heads look."""
    require_attention(attention)
    maps = tuple(
        MapAgreement(name=name, matrix=matrix)
        for name, matrix in attention.agreement.items()
        if len(matrix) > 1
    )
    if not maps:
        raise NothingToDraw("the model has one head, which has no other to agree with.")
    return HeadAgreement(maps=maps)


@styled
def draw_head_agreement(data: HeadAgreement, style: Style) -> Figure:
    """Draw one matrix a map."""
    columns = min(_MAX_COLUMNS, len(data.maps))
    is_large = len(data.maps[0].matrix) > _MAX_WRITTEN_HEADS
    rows = -(-len(data.maps) // columns)
    figure, panels = build_panels(
        style,
        title="How alike the heads look",
        rows=rows,
        columns=columns,
        aspect=1.0,
        width="full" if columns > 1 else "column",
        left=3.4,
        right=3.4 if is_large else 2.0,
        bottom=3.4,
    )
    for axes, agreement in zip(panels, data.maps, strict=False):
        _draw_matrix(axes, agreement.matrix)
        axes.set_title(f"{map_name(agreement.name)}: {agreement.mean:.2f}")
    for axes in panels[len(data.maps) :]:
        hide_panel(axes)
    return figure


def describe_head_agreement(data: HeadAgreement) -> str:
    """Return the mean agreement of each map in one sentence."""
    parts = ", ".join(f"{map_name(entry.name)} {number(entry.mean)}" for entry in data.maps)
    return f"Mean agreement of two heads, where 1 is the same look and 0 no key in common: {parts}."


def _draw_matrix(axes: Axes, matrix: FloatArray) -> None:
    num_heads = len(matrix)
    axes.imshow(matrix, cmap=SEQUENTIAL, vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    places = range(0, num_heads, -(-num_heads // 8))
    axes.set_xticks(places, [str(place + 1) for place in places])
    axes.set_yticks(places, [str(place + 1) for place in places])
    axes.set_xlabel("head")
    if num_heads > _MAX_WRITTEN_HEADS:
        _draw_scale(axes)
        return
    for (row, column), value in np.ndenumerate(matrix):
        colour = "black" if _is_light(float(value)) else "white"
        # Without its zero, a number fits the small cells of many heads.
        text = f"{value:.2f}".removeprefix("0")
        axes.text(column, row, text, ha="center", va="center", color=colour, size="small")


def _draw_scale(axes: Axes) -> None:
    """Draw the colour scale right of a matrix whose cells are too small for numbers."""
    bar = axes.inset_axes((1.03, 0.0, 0.04, 1.0))
    bar.imshow(np.linspace(1, 0, 64)[:, None], cmap=SEQUENTIAL, extent=(0, 1, 0, 1), aspect="auto")
    bar.grid(visible=False)
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.set_yticks([0, 1])


def _is_light(value: float) -> bool:
    red, green, blue, _ = mpl.colormaps[SEQUENTIAL](value)
    return 0.299 * red + 0.587 * green + 0.114 * blue > 0.5


FIGURES: Final = (
    FigureSpec(
        name="head_agreement",
        folder=FOLDER,
        title="How alike the heads look",
        caption=(
            "1 minus the Jensen-Shannon distance between the weights of two heads, the mean over "
            "clips and queries: 1 is the same look, 0 no key in common. Above each matrix, the "
            "mean over pairs; heads that agree fully do one head's work."
        ),
        needs=("attention",),
        data=head_agreement_data,
        draw=draw_head_agreement,
        alt_text=describe_head_agreement,
    ),
)
"""The agreement of the heads."""
