"""Attention maps of one clip per head, and of several clips side by side.

Shapes: M named clips, H heads, Q queries, T keys of all streams of a map, C columns.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import number
from pipeline.figures.attention.grid import (
    FOLDER,
    Grid,
    check_attention,
    limit_of,
    map_heading,
    map_name,
    shortened,
)
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import Style
from pipeline.records.attention import TRAIT_QUERIES, AttentionMeasurements, queries_and_keys

_NUM_SAMPLES: Final = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class MapRow:
    """One map, drawn for several heads or clips."""

    name: str
    heading: str
    """Text that names the queries and the keys."""
    weights: FloatArray
    """Weights, shape (C, Q, T); NaN is padding."""
    num_keys: tuple[int, ...]
    """Number of keys per stream; the sum is T."""
    is_of_traits: bool
    """True if the queries are the traits."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MapGrid:
    """Rows of maps with the same columns."""

    title: str
    columns: tuple[str, ...]
    """Titles of the C columns."""
    rows: tuple[MapRow, ...]


def _multi_head_data(attention: AttentionMeasurements, sample: int) -> MapGrid:
    check_attention(attention)
    if sample >= len(attention.sample_ids):
        raise NothingToDraw(
            f"attention.npz contains maps of only {len(attention.sample_ids)} clips."
        )
    num_heads = next(iter(attention.sample_maps.values())).shape[1]
    return MapGrid(
        title=f"Attention of each head, clip {shortened(attention.sample_ids[sample], 60)}",
        columns=tuple(f"head {head + 1}" for head in range(num_heads)),
        rows=_rows(attention, {n: maps[sample] for n, maps in attention.sample_maps.items()}),
    )


def _attention_comparison_data(attention: AttentionMeasurements) -> MapGrid:
    check_attention(attention)
    by_map = {
        name: np.stack([mean.mean(axis=0), *attention.sample_maps[name].mean(axis=1)])
        for name, mean in attention.mean_maps.items()
    }
    mean_column = f"mean of {len(attention.clip_ids):,} clips"
    return MapGrid(
        title="Attention across clips, mean over heads",
        columns=(mean_column, *map(shortened, attention.sample_ids)),
        rows=_rows(attention, by_map),
    )


def _draw_map_grid(data: MapGrid, style: Style) -> Figure:
    grid = Grid(
        style,
        title=data.title,
        rows=[(row.heading, 0.4 if row.is_of_traits else 0.8) for row in data.rows],
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


def _describe_map_grid(data: MapGrid) -> str:
    largest = []
    for row in data.rows:
        column, *_ = np.unravel_index(np.nanargmax(row.weights), row.weights.shape)
        weight = number(limit_of(row.weights))
        largest.append(f"{map_name(row.name)} {weight} ({data.columns[int(column)]})")
    return f"{data.title}. Largest weights: {'; '.join(largest)}."


def _rows(attention: AttentionMeasurements, by_map: Mapping[str, FloatArray]) -> tuple[MapRow, ...]:
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


def _sample_spec(position: int) -> FigureSpec:
    return FigureSpec(
        name=f"multi_head_attention_sample_{position}",
        folder=FOLDER,
        title=f"Attention of each head, clip {position}",
        caption=(
            "Attention weights of each head in one named clip. Each row of a map sums to 1. "
            "Brighter cells have larger weights, grey cells are padding. Each row of maps has one "
            "colour scale."
        ),
        data=functools.partial(_multi_head_data, sample=position - 1),
        draw=_draw_map_grid,
        alt_text=_describe_map_grid,
    )


FIGURES: Final = (
    *map(_sample_spec, range(1, _NUM_SAMPLES + 1)),
    FigureSpec(
        name="attention_comparison",
        folder=FOLDER,
        title="Attention across clips",
        caption=(
            "Each map is averaged over heads. The first column is the mean over the measured "
            "clips. The other columns are named clips. If columns differ, attention depends on the "
            "content of the clip."
        ),
        data=_attention_comparison_data,
        draw=_draw_map_grid,
        alt_text=_describe_map_grid,
    ),
)
