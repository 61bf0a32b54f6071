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
from pipeline.core.number_format import number
from pipeline.core.traits import short_names
from pipeline.figures.base.layout import add_header, describe_clips, header_em
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
_MAP_HEIGHTS_EM: Final = (6.5, 13.0)
"""Minimum and maximum height of a map."""
_LINE_EM: Final = 1.2
"""Height of a line of text that replaces a row of maps."""
_LABEL_LETTER_EM: Final = 0.55
"""Width of a digit in a key label."""

_EVEN_ENTROPY: Final = 0.99
"""Minimum normalised entropy of weights that are called even."""


class Box(NamedTuple):
    """Rectangle in em, measured from the top left corner of the figure."""

    left: float
    top: float
    width: float
    height: float


class Grid:
    """Figure with maps in rows and columns.

    `rows` contains (heading, aspect) for each row of maps. The aspect is height divided by width.
    A fixed range limits the map height. If the aspect is None, the row contains only its heading.
    `columns` contains the column titles. `left` is the space left of the first column, in em.
    `gap` is the space between two columns, in em. For `title` and `sample`, see `add_header`.
    """

    def __init__(
        self,
        style: Style,
        *,
        title: str,
        sample: str = "",
        rows: Sequence[tuple[str, float | None]],
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
            0.0 if aspect is None else float(np.clip(aspect * self._map_width, *_MAP_HEIGHTS_EM))
            for _, aspect in rows
        ]
        self._header = header_em(style, legend, sample, width=style.full_width)
        height = self._header + sum(self._pitch(height) for height in self._map_heights)
        self.figure = Figure(figsize=(self._width * style.em, height * style.em))
        FigureCanvasAgg(self.figure)
        self._sheet = self.figure.add_axes((0, 0, 1, 1), xlim=(0, self._width), ylim=(height, 0))
        self._sheet.set_axis_off()
        self._sheet.set_autoscale_on(False)
        add_header(self.figure, style, title=title, sample=sample, legend=legend)
        for (heading, aspect), boxes in zip(rows, self.boxes(), strict=True):
            self._sheet.text(1, boxes[0].top - _TOP_EM + 0.3, heading, va="top")
            for box, name in zip(boxes, columns if aspect is not None else (), strict=False):
                self._sheet.text(box.left, box.top - 0.4, name, va="baseline", size="small")

    def boxes(self) -> Iterator[list[Box]]:
        """Yield the rectangles of the maps, row by row."""
        top, pitch = self._header, self._map_width + self._gap
        for height in self._map_heights:
            yield [
                Box(left, top + _TOP_EM, self._map_width, height)
                for left in self._left + pitch * np.arange(len(self._columns))
            ]
            top += self._pitch(height)

    @staticmethod
    def _pitch(map_height: float) -> float:
        """Return the height of a row with its heading and its labels."""
        return _TOP_EM + map_height + _BOTTOM_EM if map_height else 2 * _LINE_EM

    def add_panel(self, box: Box) -> Axes:
        """Add separate axes in `box`, for a panel that is not a map."""
        width, height = self._width, float(self._sheet.get_ylim()[0])
        bottom = 1 - (box.top + box.height) / height
        return self.figure.add_axes(
            (box.left / width, bottom, box.width / width, box.height / height)
        )

    def draw_map(
        self, box: Box, weights: FloatArray, *, limit: float, labels: Sequence[Sequence[str]]
    ) -> None:
        """Draw one map of weights, shape (Q, T). Padding (NaN) is grey.

        `limit` is the weight at the bright end of the colour scale. `labels` contains the key
        labels of each stream. Labels without space are omitted. White lines separate the streams.
        """
        self._draw_image(box, weights, limit)
        key_width = box.width / weights.shape[1]
        left = box.left
        for texts in labels:
            if left > box.left:
                self._sheet.vlines(left, box.top, box.top + box.height, color="white", lw=1.6)
            right = left + len(texts) * key_width
            for position in spaced_labels(texts, key_width):
                x = left + (position + 0.5) * key_width
                if position == 0 or x + label_width(texts) / 2 < right + self._gap:
                    place = {"ha": "center", "va": "top"}
                    self._label(x, box.top + box.height + 0.4, texts[position], **place)
            left = right

    def number_queries(self, box: Box, num_queries: int) -> None:
        """Write the query numbers left of a map, starting at 1."""
        for query in step_numbers(num_queries, 5).tolist():
            y = box.top + (query - 0.5) * box.height / num_queries
            self._label(box.left - 0.5, y, str(query), ha="right", va="center")

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


def label_width(labels: Sequence[str]) -> float:
    """Return the width of the longest label and the space beside it, in em."""
    return 0.7 + _LABEL_LETTER_EM * max(map(len, labels), default=1)


def spaced_labels(labels: Sequence[str], key_width: float) -> list[int]:
    """Return the positions of labels that do not overlap, if a key is `key_width` em wide."""
    max_labels = max(1, int(len(labels) * key_width / label_width(labels)))
    return [int(key) - 1 for key in step_numbers(len(labels), max_labels)]


def key_labels(
    attention: AttentionMeasurements, stream: str, sample: int | None = None
) -> list[str]:
    """Return the labels of the keys of a stream: seconds if they are known, else numbers from 1.

    `sample` is the number of a sample clip. If it is None, the times are medians over the clips.
    """
    known = attention.seconds if sample is None else attention.sample_seconds
    if stream not in known:
        return [str(key + 1) for key in range(attention.num_keys[stream])]
    times = known[stream] if sample is None else known[stream][sample]
    return [f"{time:.1f}" if np.isfinite(time) else "" for time in times]


def is_even(weights: FloatArray) -> bool:
    """Return True if most rows of weights (..., T) are nearly uniform over their T keys.

    NaN is padding. Rows with fewer than two keys are ignored.
    """
    rows = np.nan_to_num(weights.reshape(-1, weights.shape[-1]))
    num_keys = np.isfinite(weights.reshape(-1, weights.shape[-1])).sum(axis=1)
    rows, num_keys = rows[num_keys > 1], num_keys[num_keys > 1]
    totals = rows.sum(axis=1, keepdims=True)
    if not len(rows) or not totals.all():
        return False
    shares = rows / totals
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1) / np.log(num_keys)
    return bool(np.median(entropy) >= _EVEN_ENTROPY)


def describe_even(weight: float) -> str:
    """Return a phrase for attention with nearly the same weight for each key."""
    return f"even attention, about {number(weight)} per key"


def sample_text(attention: AttentionMeasurements) -> str:
    """Return the number and the subset of the measured clips, for the title of a figure."""
    return describe_clips(len(attention.clip_ids), attention.split)


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
    unit = " in seconds" if set(streams) & set(attention.seconds) else ""
    if query != TRAIT_QUERIES:
        block = name.split("/", maxsplit=1)[0].replace("_", " ").capitalize()
        queries = stream_name(attention, query)
        return f"{block}: {queries} (rows) attend to {_listing(keys)} (columns{unit})"
    order = f" (left to right{unit})" if len(keys) > 1 else unit
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
