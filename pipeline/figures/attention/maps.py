"""Who looks at whom: the maps of each head in one clip, and of several clips side by side.

Shapes: M named clips, H heads, Q queries, T keys of all streams of a map, C columns.
"""

import functools
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import number
from pipeline.figures.attention.grid import Grid, GridRow, limit_of
from pipeline.figures.attention.wording import (
    FOLDER,
    map_heading,
    map_name,
    require_attention,
    shortened,
)
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import Style, styled
from pipeline.records.attention import TRAIT_QUERIES, AttentionMeasurements, queries_and_keys

_NUM_SAMPLES: Final = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class MapRow:
    """One kind of map, in several variants side by side."""

    name: str
    """Name of the map."""
    heading: str
    """Who looks at what."""
    weights: FloatArray
    """Shape (C, Q, T); NaN is padding."""
    num_keys: tuple[int, ...]
    """Keys of each stream; their sum is T."""
    is_of_traits: bool
    """Whether the queries are the traits."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MapGrid:
    """Rows of maps under common columns."""

    title: str
    """Title of the figure."""
    columns: tuple[str, ...]
    """What sets the maps of a row apart, C names."""
    rows: tuple[MapRow, ...]
    """The kinds of maps."""


def multi_head_data(attention: AttentionMeasurements, sample: int) -> MapGrid:
    """Return every map of one named clip, one column a head.

    Args:
        attention: What was measured.
        sample: Position of the clip among the named ones, from 0.
    """
    require_attention(attention)
    if sample >= len(attention.sample_ids):
        raise NothingToDraw(f"the maps of {len(attention.sample_ids)} clips only were kept.")
    num_heads = next(iter(attention.sample_maps.values())).shape[1]
    return MapGrid(
        title=f"Attention of each head, clip {shortened(attention.sample_ids[sample], 60)}",
        columns=tuple(f"head {head + 1}" for head in range(num_heads)),
        rows=_rows(attention, {n: maps[sample] for n, maps in attention.sample_maps.items()}),
    )


def attention_comparison_data(attention: AttentionMeasurements) -> MapGrid:
    """Return every map, the mean over heads, of all clips and of each named one."""
    require_attention(attention)
    by_map = {
        name: np.stack([mean.mean(axis=0), *attention.sample_maps[name].mean(axis=1)])
        for name, mean in attention.mean_maps.items()
    }
    return MapGrid(
        title="Attention across clips, mean over heads",
        columns=(
            f"mean of {len(attention.clip_ids):,} clips",
            *map(shortened, attention.sample_ids),
        ),
        rows=_rows(attention, by_map),
    )


@styled
def draw_map_grid(data: MapGrid, style: Style) -> Figure:
    """Draw rows of maps."""
    grid = Grid(
        style,
        title=data.title,
        rows=[
            GridRow(heading=row.heading, aspect=0.4 if row.is_of_traits else 0.8)
            for row in data.rows
        ],
        columns=data.columns,
        left=11.0,
    )
    for row, boxes in zip(data.rows, grid.boxes(), strict=True):
        limit = limit_of(row.weights)
        for box, weights in zip(boxes, row.weights, strict=True):
            grid.draw_map(box, weights, limit=limit, num_keys=row.num_keys)
        if row.is_of_traits:
            grid.name_traits(boxes[0])
        else:
            grid.number_queries(boxes[0], row.weights.shape[1])
        grid.draw_bar(boxes[0], limit)
    return grid.figure


def describe_map_grid(data: MapGrid) -> str:
    """Return the strongest look of each map in one sentence."""
    strongest = "; ".join(
        f"{map_name(row.name)} up to {number(limit_of(row.weights))}, "
        f"{data.columns[_strongest_column(row)]}"
        for row in data.rows
    )
    return f"{data.title}. Largest weights: {strongest}."


def _strongest_column(row: MapRow) -> int:
    return int(np.unravel_index(np.nanargmax(row.weights), row.weights.shape)[0])


def _rows(attention: AttentionMeasurements, by_map: dict[str, FloatArray]) -> tuple[MapRow, ...]:
    rows = []
    for name, weights in by_map.items():
        query, streams = queries_and_keys(name, attention.streams)
        rows.append(
            MapRow(
                name=name,
                heading=map_heading(attention, name),
                weights=weights,
                num_keys=tuple(attention.num_keys[stream] for stream in streams),
                is_of_traits=query == TRAIT_QUERIES,
            )
        )
    return tuple(rows)


def _sample_spec(number_of_sample: int) -> FigureSpec:
    return FigureSpec(
        name=f"multi_head_attention_sample_{number_of_sample}",
        folder=FOLDER,
        title=f"Attention of each head, clip {number_of_sample}",
        caption=(
            "Where each head looks in one named clip: every row of a map sums to 1, brighter is "
            "more, grey is padding. Maps of a kind share their colour scale."
        ),
        needs=("attention",),
        data=functools.partial(multi_head_data, sample=number_of_sample - 1),
        draw=draw_map_grid,
        alt_text=describe_map_grid,
    )


FIGURES: Final = (
    *map(_sample_spec, range(1, _NUM_SAMPLES + 1)),
    FigureSpec(
        name="attention_comparison",
        folder=FOLDER,
        title="Attention across clips",
        caption=(
            "Each map, averaged over heads: the mean over the measured clips, then the named "
            "clips. What differs from column to column is content; what stays is habit."
        ),
        needs=("attention",),
        data=attention_comparison_data,
        draw=draw_map_grid,
        alt_text=describe_map_grid,
    ),
)
"""The maps of the named clips, and their comparison."""
