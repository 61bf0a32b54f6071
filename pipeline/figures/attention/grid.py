"""A grid of maps: one row a kind of map, one colour scale a row, labels only where needed.

The whole grid is one sheet measured in em: an axis of its own, with its ticks, would cost each
map more time than its picture.

Shapes: Q queries, T keys of all streams of a map.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.traits import TRAITS
from pipeline.figures.base.style import ACCENTS, PALE, SEQUENTIAL, TRAIT_COLOURS, Style

_TITLE_EM: Final = 2.4
_LEGEND_EM: Final = 2.0
_TOP_EM: Final = 3.7
"""Room above a row's maps, for its heading and for the titles of the columns."""
_BOTTOM_EM: Final = 2.0
_RIGHT_EM: Final = 5.0
"""Room right of the last column, for the colour bar and its numbers."""
_MAX_LABELS: Final = 32
"""Steps that are numbered along a whole row of maps."""


class Box(NamedTuple):
    """A place on the sheet, in em from its top left corner."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True, slots=True)
class GridRow:
    """One row of a grid."""

    heading: str
    """What the row shows; stands above it, over its whole width."""
    aspect: float
    """Height of a map over its width, as far as the limits of the grid allow."""


class Grid:
    """A figure with places for maps in rows and columns.

    Args:
        style: The style that is applied.
        title: Title of the figure; left out in styles without titles.
        rows: The rows, from top to bottom.
        columns: Titles of the columns, above each row.
        left: Room left of the first column, in em.
        gap: Room between two columns, in em.
        legend: Artists with labels that a legend below the title lists.
        heights: Least and greatest height of a map, in em.
    """

    def __init__(
        self,
        style: Style,
        *,
        title: str,
        rows: Sequence[GridRow],
        columns: Sequence[str],
        left: float,
        gap: float = 0.8,
        legend: Sequence[Artist] = (),
        heights: tuple[float, float] = (6.5, 13.0),
    ) -> None:
        self._columns = columns
        self._left, self._gap = left, gap
        self._width = style.full_width / style.em
        self._map_width = (self._width - left - _RIGHT_EM + gap) / len(columns) - gap
        self._map_heights = [float(np.clip(row.aspect * self._map_width, *heights)) for row in rows]
        self._header = _TITLE_EM * style.has_title + _LEGEND_EM * bool(legend)
        height = self._header + sum(self._map_heights) + len(rows) * (_TOP_EM + _BOTTOM_EM)
        self.figure = Figure(figsize=(self._width * style.em, height * style.em))
        FigureCanvasAgg(self.figure)
        self._sheet = self.figure.add_axes((0, 0, 1, 1), xlim=(0, self._width), ylim=(height, 0))
        self._sheet.set_axis_off()
        self._sheet.set_autoscale_on(False)
        if style.has_title:
            size = style.font_size * 1.15
            self._sheet.text(1, 0.7, title, va="top", weight="bold", size=size)
        if legend:
            self._add_legend(legend, top=_TITLE_EM * style.has_title + 0.2)
        for row, boxes in zip(rows, self.boxes(), strict=True):
            self._sheet.text(1, boxes[0].top - _TOP_EM + 0.3, row.heading, va="top")
            for box, name in zip(boxes, columns, strict=True):
                self._sheet.text(box.left, box.top - 0.4, name, va="baseline", size="small")

    def boxes(self) -> Iterator[list[Box]]:
        """Yield the places of the maps, row by row."""
        top = self._header
        for height in self._map_heights:
            top += _TOP_EM
            yield [
                Box(
                    self._left + column * (self._map_width + self._gap),
                    top,
                    self._map_width,
                    height,
                )
                for column in range(len(self._columns))
            ]
            top += height + _BOTTOM_EM

    def add_panel(self, box: Box) -> Axes:
        """Add axes of their own, for something other than a map."""
        width, height = self._width, float(self._sheet.get_ylim()[0])
        bottom = 1 - (box.top + box.height) / height
        return self.figure.add_axes(
            (box.left / width, bottom, box.width / width, box.height / height)
        )

    def draw_map(
        self, box: Box, weights: FloatArray, *, limit: float, num_keys: Sequence[int] | None = None
    ) -> None:
        """Draw one map of weights, its keys numbered below; padding is grey.

        Args:
            box: Its place.
            weights: Shape (Q, T); NaN is padding.
            limit: Weight at the bright end of the colour scale.
            num_keys: Keys of each stream, which a line parts and whose numbers begin anew.
        """
        num_keys = num_keys or [weights.shape[1]]
        self._draw_image(box, weights, limit)
        labels_per_key = _MAX_LABELS / (len(self._columns) * weights.shape[1])
        key_width = box.width / weights.shape[1]
        left = box.left
        for count in num_keys:
            if left > box.left:
                self._sheet.vlines(left, box.top, box.top + box.height, color="white", lw=1.6)
            most = max(3 - len(num_keys), round(labels_per_key * count))
            for number in step_numbers(count, most).tolist():
                x = left + (number - 0.5) * key_width
                self._label(x, box.top + box.height + 0.4, str(number), ha="center", va="top")
            left += count * key_width

    def number_queries(self, box: Box, num_queries: int) -> None:
        """Number the queries of a map at its left, from 1."""
        for number in step_numbers(num_queries, 5).tolist():
            y = box.top + (number - 0.5) * box.height / num_queries
            self._label(box.left - 0.5, y, str(number), ha="right", va="center")

    def name_traits(self, box: Box, *, is_short: bool = False) -> None:
        """Name the traits at the left of a map, each in its colour."""
        for row, trait in enumerate(TRAITS):
            y = box.top + (row + 0.5) * box.height / len(TRAITS)
            name = trait[0].upper() if is_short else trait
            place = {"ha": "right", "va": "center"}
            self._label(box.left - 0.4, y, name, color=TRAIT_COLOURS[trait], weight="bold", **place)

    def draw_bar(self, box: Box, limit: float) -> None:
        """Draw the colour bar of a row right of its last map, from 0 to `limit`."""
        bar = Box(self._width - _RIGHT_EM + 0.8, box.top, 0.8, box.height)
        self._draw_image(bar, np.linspace(limit, 0.0, 64)[:, None], limit)
        self._label(bar.left, bar.top - 0.4, "weight", va="baseline")
        for share, place in ((0.0, "baseline"), (0.5, "center"), (1.0, "top")):
            y = bar.top + (1 - share) * bar.height
            self._label(bar.left + 1.2, y, f"{share * limit:.2g}", va=place)

    def _draw_image(self, box: Box, values: FloatArray, limit: float) -> None:
        colours = mpl.colormaps[SEQUENTIAL].with_extremes(bad=PALE)
        extent = (box.left, box.left + box.width, box.top + box.height, box.top)
        self._sheet.imshow(values, colours, aspect="auto", vmin=0, vmax=limit, extent=extent)

    def _label(self, x: float, y: float, text: str, *, color: str = "#444444", **look: Any) -> None:
        self._sheet.text(x, y, text, size="small", color=color, **look)

    def _add_legend(self, legend: Sequence[Artist], *, top: float) -> None:
        self._sheet.legend(
            handles=list(legend),
            loc="upper left",
            bbox_to_anchor=(0.8, top),
            bbox_transform=self._sheet.transData,
            ncols=len(legend),
            borderaxespad=0.0,
            borderpad=0.2,
            columnspacing=1.4,
            handlelength=1.6,
        )


def step_numbers(num_steps: int, most: int) -> IntArray:
    """Return the numbers of at most `most` steps to label, evenly spaced, the first one 1."""
    strides = (digit * 10**power for power in range(10) for digit in (1, 2, 5))
    stride = next(stride for stride in strides if num_steps <= stride * most)
    return np.arange(1, num_steps + 1, stride)


def limit_of(weights: FloatArray) -> float:
    """Return the largest weight, for the end of a colour scale; 1 where there is none."""
    return float(np.nanmax(weights)) if np.isfinite(weights).any() else 1.0


def head_colours(num_heads: int) -> list[str]:
    """Return a colour for each head: hues that are told apart, or shades where hues run out."""
    if num_heads <= len(ACCENTS):
        return list(ACCENTS[:num_heads])
    shades = mpl.colormaps[SEQUENTIAL](np.linspace(0.0, 0.95, num_heads))
    return [mpl.colors.to_hex(shade) for shade in shades]
