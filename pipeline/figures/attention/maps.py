"""Figures of attention maps: each head for one clip, or the mean over heads for several clips.

Shapes: M sample clips, H heads, Q queries, T keys of a map (all streams), C columns.
"""

import functools
from collections.abc import Mapping, Sequence
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
    describe_even,
    is_even,
    key_labels,
    largest_weight,
    map_heading,
    map_name,
    sample_text,
    shorten_clip_id,
)
from pipeline.figures.base.layout import names_em
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import Style
from pipeline.records.attention import TRAIT_QUERIES, AttentionMeasurements, queries_and_keys

_NUM_SAMPLES: Final = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class MapGrid:
    """Grid of attention maps: one row per map name, one column per head or clip."""

    title: str
    sample: str
    """Measured clips."""
    columns: tuple[str, ...]
    """Titles of the C columns."""
    attention: AttentionMeasurements
    trait_names: tuple[str, ...]
    maps: Mapping[str, FloatArray]
    """Map name -> weights, shape (C, Q, T); NaN is padding."""
    samples: tuple[int | None, ...]
    """Sample clip of each column; None for the mean over clips."""


def _multi_head_data(
    attention: AttentionMeasurements, sample: int, trait_names: Sequence[str]
) -> MapGrid:
    check_attention(attention, trait_names)
    if sample >= len(attention.sample_ids):
        raise NothingToDraw(
            f"attention.npz contains maps of only {len(attention.sample_ids)} clips."
        )
    num_heads = next(iter(attention.sample_maps.values())).shape[1]
    maps = {name: maps[sample] for name, maps in attention.sample_maps.items()}
    _check_not_even(maps)
    clip = shorten_clip_id(attention.sample_ids[sample], 60)
    return MapGrid(
        title="Attention of each head",
        sample=f"{attention.split} clip {clip}".lstrip(),
        columns=tuple(f"head {head + 1}" for head in range(num_heads)),
        attention=attention,
        trait_names=tuple(trait_names),
        maps=maps,
        samples=(sample,) * num_heads,
    )


def _attention_comparison_data(
    attention: AttentionMeasurements, trait_names: Sequence[str]
) -> MapGrid:
    check_attention(attention, trait_names)
    mean_column = f"mean of {len(attention.clip_ids):,} clips"
    maps = {
        name: np.stack([mean.mean(axis=0), *attention.sample_maps[name].mean(axis=1)])
        for name, mean in attention.mean_maps.items()
    }
    _check_not_even(maps)
    return MapGrid(
        title="Attention across clips, mean over heads",
        sample=sample_text(attention),
        columns=(mean_column, *map(shorten_clip_id, attention.sample_ids)),
        attention=attention,
        trait_names=tuple(trait_names),
        maps=maps,
        samples=(None, *range(len(attention.sample_ids))),
    )


def _check_not_even(maps: Mapping[str, FloatArray]) -> None:
    if all(map(is_even, maps.values())):
        raise NothingToDraw("the attention is even: every key has about the same weight.")


def _draw_map_grid(data: MapGrid, style: Style) -> Figure:
    attention = data.attention
    parsed = [queries_and_keys(name, attention.streams) for name in data.maps]
    even = {name for name, weights in data.maps.items() if is_even(weights)}
    grid = Grid(
        style,
        title=data.title,
        sample=data.sample,
        rows=[
            (f"{map_heading(attention, name)}: {describe_even(1 / weights.shape[-1])}", None)
            if name in even
            else (map_heading(attention, name), 0.4 if queries == TRAIT_QUERIES else 0.8)
            for (name, weights), (queries, _) in zip(data.maps.items(), parsed, strict=True)
        ],
        columns=data.columns,
        left=names_em(data.trait_names) + 2.0,
    )
    rows = zip(grid.boxes(), data.maps.items(), parsed, strict=True)
    for boxes, (name, weights), (queries, streams) in rows:
        if name in even:
            continue
        limit = largest_weight(weights)
        for box, column, sample in zip(boxes, weights, data.samples, strict=True):
            labels = [key_labels(attention, stream, sample) for stream in streams]
            grid.draw_map(box, column, limit=limit, labels=labels)
        if queries == TRAIT_QUERIES:
            grid.name_traits(boxes[0], data.trait_names)
        else:
            grid.number_queries(boxes[0], weights.shape[1])
        grid.draw_bar(boxes[0], limit)
    return grid.figure


def _describe_map_grid(data: MapGrid) -> str:
    largest = []
    for name, weights in data.maps.items():
        if np.isnan(weights).all():
            largest.append(f"{map_name(name)} none (the clip lacks the stream)")
            continue
        column, *_ = np.unravel_index(np.nanargmax(weights), weights.shape)
        weight = number(largest_weight(weights))
        largest.append(f"{map_name(name)} {weight} ({data.columns[int(column)]})")
    return f"{data.title}. Largest weights: {'; '.join(largest)}."


def _sample_spec(position: int) -> FigureSpec:
    return FigureSpec(
        name=f"multi_head_attention_sample_{position}",
        folder=FOLDER,
        title=f"Attention of each head, clip {position}",
        caption=(
            "Attention weights of each head in one sample clip. Each row of a map sums to 1. "
            "Brighter cells have larger weights, grey cells are padding. Each row of maps has one "
            "colour scale. If the times of the steps are known, the columns show seconds."
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
            "clips, the others are sample clips. If columns differ, attention depends on the "
            "content of the clip."
        ),
        data=_attention_comparison_data,
        draw=_draw_map_grid,
        alt_text=_describe_map_grid,
    ),
)
