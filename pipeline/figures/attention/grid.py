"""Grid of attention maps, and display names of maps, streams and clips.

All maps of a grid are drawn on one axes object, because one axes object per map is slow. The unit
of its coordinates is the em (the font size). All maps in one row have the same colour scale.

Shapes: Q queries, T keys of a map (all streams).
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.errors import PipelineError
from pipeline.core.traits import short_names
from pipeline.figures.base.layout import add_header, header_em
from pipeline.figures.base.spec import NothingToDraw
from pipeline.figures.base.style import ACCENTS, PALE, SEQUENTIAL, Style, trait_colours
from pipeline.records.attention import (
    LEARNED_TOKENS,
    TRAIT_QUERIES,
    WHOLE,
    AttentionMeasurements,
    queries_and_keys,
)

FOLDER: Final = "attention_visualizations"
"""Folder of the attention figures in a run directory."""

_TOP_EM: Final = 3.7
"""Space above the maps of a row, for the heading and the column titles."""
_BOTTOM_EM: Final = 2.0
_RIGHT_EM: Final = 5.0
"""Space right of the last column, for the colour bar and its numbers."""
_MAX_LABELS: Final = 32
"""Maximum number of key labels per row of maps."""
_MAP_HEIGHTS_EM: Final = (6.5, 13.0)
"""Minimum and maximum height of a map."""


class Box(NamedTuple):
    """Rectangle in em, measured from the top left corner of the figure."""

    left: float
    top: float
    width: float
    height: float


class Grid:
    """Figure with maps in rows and columns.

    `rows` contains (heading, aspect) for each row of maps. The aspect is height divided by width.
    A fixed range limits the map height. `columns` contains the column titles. `left` is the space
    left of the first column, in em. `gap` is the space between two columns, in em. If the style
    has no titles, `title` is not drawn.
    """

    def __init__(
        self,
        style: Style,
        *,
        title: str,
        rows: Sequence[tuple[str, float]],
        columns: Sequence[str],
        left: float,
        gap: float = 0.8,
        legend: Sequence[Artist] = (),
    ) -> None:
        self._columns = columns
        self._left, self._gap = left, gap
        self._width = style.full_width / style.em
        self._map_width = (self._width - left - _RIGHT_EM + gap) / len(columns) - gap
        self._map_heights = [
            float(np.clip(aspect * self._map_width, *_MAP_HEIGHTS_EM)) for _, aspect in rows
        ]
        self._header = header_em(style, legend, width=style.full_width)
        height = self._header + sum(self._map_heights) + len(rows) * (_TOP_EM + _BOTTOM_EM)
        self.figure = Figure(figsize=(self._width * style.em, height * style.em))
        FigureCanvasAgg(self.figure)
        self._sheet = self.figure.add_axes((0, 0, 1, 1), xlim=(0, self._width), ylim=(height, 0))
        self._sheet.set_axis_off()
        self._sheet.set_autoscale_on(False)
        add_header(self.figure, style, title=title, legend=legend)
        for (heading, _), boxes in zip(rows, self.boxes(), strict=True):
            self._sheet.text(1, boxes[0].top - _TOP_EM + 0.3, heading, va="top")
            for box, name in zip(boxes, columns, strict=True):
                self._sheet.text(box.left, box.top - 0.4, name, va="baseline", size="small")

    def boxes(self) -> Iterator[list[Box]]:
        """Yield the rectangles of the maps, row by row."""
        top, pitch = self._header, self._map_width + self._gap
        for height in self._map_heights:
            top += _TOP_EM
            yield [
                Box(left, top, self._map_width, height)
                for left in self._left + pitch * np.arange(len(self._columns))
            ]
            top += height + _BOTTOM_EM

    def add_panel(self, box: Box) -> Axes:
        """Add separate axes in `box`, for a panel that is not a map."""
        width, height = self._width, float(self._sheet.get_ylim()[0])
        bottom = 1 - (box.top + box.height) / height
        return self.figure.add_axes(
            (box.left / width, bottom, box.width / width, box.height / height)
        )

    def draw_map(
        self, box: Box, weights: FloatArray, *, limit: float, num_keys: Sequence[int] | None = None
    ) -> None:
        """Draw one map of weights, shape (Q, T), with numbered keys. Padding (NaN) is grey.

        `limit` is the weight at the bright end of the colour scale. `num_keys` contains the
        number of keys per stream, or is None for one stream. White lines separate the streams.
        """
        num_keys = num_keys or [weights.shape[1]]
        self._draw_image(box, weights, limit)
        labels_per_key = _MAX_LABELS / (len(self._columns) * weights.shape[1])
        key_width = box.width / weights.shape[1]
        left = box.left
        for count in num_keys:
            if left > box.left:
                self._sheet.vlines(left, box.top, box.top + box.height, color="white", lw=1.6)
            max_labels = max(1, 3 - len(num_keys), round(labels_per_key * count))
            for number in step_numbers(count, max_labels).tolist():
                x = left + (number - 0.5) * key_width
                self._label(x, box.top + box.height + 0.4, str(number), ha="center", va="top")
            left += count * key_width

    def number_queries(self, box: Box, num_queries: int) -> None:
        """Write the query numbers left of a map, starting at 1."""
        for number in step_numbers(num_queries, 5).tolist():
            y = box.top + (number - 0.5) * box.height / num_queries
            self._label(box.left - 0.5, y, str(number), ha="right", va="center")

    def name_traits(self, box: Box, trait_names: Sequence[str], *, is_short: bool = False) -> None:
        """Write the trait names left of a map, each in the colour of the trait."""
        names = short_names(trait_names) if is_short else trait_names
        for row, (name, colour) in enumerate(zip(names, trait_colours(trait_names), strict=True)):
            y = box.top + (row + 0.5) * box.height / len(names)
            place = {"ha": "right", "va": "center"}
            self._label(box.left - 0.4, y, name, color=colour, weight="bold", **place)

    def draw_bar(self, box: Box, limit: float) -> None:
        """Draw a colour bar from 0 to `limit`, right of the last map in a row."""
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

    def _label(
        self, x: float, y: float, text: str, *, color: str = "#444444", **options: Any
    ) -> None:
        self._sheet.text(x, y, text, size="small", color=color, **options)


def check_attention(attention: AttentionMeasurements, trait_names: Sequence[str] = ()) -> None:
    """Check that attention was measured, and that the measurements are for these traits, if given.

    Raises:
        NothingToDraw: If attention was not measured.
        PipelineError: If the number of traits is wrong.
    """
    if not attention.mean_maps:
        reason = attention.missing.get(WHOLE, "attention was not measured.")
        raise NothingToDraw(f"there is no attention: {reason}")
    for weights in attention.trait_attention.values() if trait_names else ():
        if len(weights) != len(trait_names):
            raise PipelineError(
                f"attention.npz: must have the attention of {len(trait_names)} traits "
                f"({', '.join(trait_names)}), but has the attention of {len(weights)} traits. "
                "Restore attention.npz and data.json from the run's artifacts."
            )


def stream_name(attention: AttentionMeasurements, stream: str) -> str:
    """Return the display name for the keys of a stream, e.g. `face frames` or `static tokens`."""
    kind = attention.key_kinds[stream]
    return f"{stream} tokens" if kind == LEARNED_TOKENS else kind


def map_name(name: str) -> str:
    """Return the display name of a map, e.g. `block 1, static → dynamic`."""
    prefix, _, direction = name.rpartition("/")
    if direction == TRAIT_QUERIES:
        return f"traits → {prefix}" if prefix else "traits"
    arrow = direction.replace("_to_", " → ").replace("+", ", ")
    return f"{prefix.replace('_', ' ')}, {arrow}"


def map_heading(attention: AttentionMeasurements, name: str) -> str:
    """Return a heading that names the queries and the keys of a map."""
    query, streams = queries_and_keys(name, attention.streams)
    keys = [stream_name(attention, stream) for stream in streams]
    if query != TRAIT_QUERIES:
        block = name.split("/", maxsplit=1)[0].replace("_", " ").capitalize()
        queries = stream_name(attention, query)
        return f"{block}: {queries} (rows) attend to {_listing(keys)} (columns)"
    order = " (left to right)" if len(keys) > 1 else ""
    return f"The traits attend to {_listing(keys)}{order}"


def _listing(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def shorten_clip_id(clip_id: str, max_length: int = 20) -> str:
    """Shorten a clip ID to `max_length` characters by removing its middle.

    The start and the end of the ID remain, because they usually identify the video and the clip.
    """
    if len(clip_id) <= max_length:
        return clip_id
    kept = max_length - 1
    return f"{clip_id[: kept - kept // 2]}…{clip_id[-(kept // 2) :]}"


def step_numbers(num_steps: int, max_labels: int) -> IntArray:
    """Return at most `max_labels` evenly spaced numbers from 1 to `num_steps`, starting at 1."""
    strides = (digit * 10**power for power in range(10) for digit in (1, 2, 5))
    stride = next(stride for stride in strides if num_steps <= stride * max_labels)
    return np.arange(1, num_steps + 1, stride)


def largest_weight(weights: FloatArray) -> float:
    """Return the upper end of a colour scale: the largest weight, or 1 if all weights are NaN."""
    return float(np.nanmax(weights)) if np.isfinite(weights).any() else 1.0


def head_colours(num_heads: int) -> list[str]:
    """Return one colour per head: distinct hues, or shades if there are many heads."""
    if num_heads <= len(ACCENTS):
        return list(ACCENTS[:num_heads])
    shades = mpl.colormaps[SEQUENTIAL](np.linspace(0.0, 0.95, num_heads))
    return [mpl.colors.to_hex(shade) for shade in shades]
