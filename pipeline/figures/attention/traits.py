"""Attention weights and attention rollout of each trait, over the time steps of a stream.

Shapes: M sample clips, K traits, T time steps or tokens of one stream.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import count, number, percent
from pipeline.figures.attention.grid import (
    FOLDER,
    Grid,
    check_attention,
    describe_even,
    is_even,
    key_labels,
    largest_weight,
    sample_text,
    shorten_clip_id,
    spaced_labels,
    stream_name,
)
from pipeline.figures.base.layout import line_handle
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import MUTED, Style, trait_colours
from pipeline.records.attention import AttentionMeasurements


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamAttention:
    """Attention of the traits to one stream."""

    name: str
    mean: FloatArray
    """Mean weights over the clips that contain the time step, shape (K, T)."""
    samples: FloatArray
    """Weights of the sample clips, shape (M, K, T); NaN is padding."""
    share: FloatArray
    """Total weight of the stream for each trait, averaged over clips, shape (K,)."""
    uniform: FloatArray
    """Mean weight per time step if attention is uniform, shape (T,)."""
    labels: Sequence[Sequence[str]]
    """Labels of the steps: of the mean over clips, then of each sample clip."""
    unit: str
    """`s` if the labels are seconds, else ""."""
    is_even: bool
    """True if the weights are nearly uniform in the sample clips."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TraitAttention:
    """Attention of the traits to all streams."""

    title: str
    has_shares: bool
    """True if the weights of a trait sum to 1 over all streams together, not per stream."""
    attention: AttentionMeasurements
    trait_names: tuple[str, ...]
    streams: tuple[StreamAttention, ...]
    """Streams, in the order of the model."""


def trait_attention_data(
    attention: AttentionMeasurements, trait_names: Sequence[str]
) -> TraitAttention:
    """Return the attention weights of the traits, averaged over heads."""
    check_attention(attention, trait_names)
    means, samples = attention.trait_attention, attention.sample_trait_attention
    streams = _streams(attention, means, samples, attention.trait_attention_even)
    # If attention is separate for each stream, each share is 1, so the total is at least 2.
    total_share = np.sum([stream.share for stream in streams], axis=0).mean()
    return TraitAttention(
        title="Attention of each trait",
        has_shares=len(streams) > 1 and float(total_share) < 1.5,
        attention=attention,
        trait_names=tuple(trait_names),
        streams=streams,
    )


def _trait_rollout_data(
    attention: AttentionMeasurements, trait_names: Sequence[str]
) -> TraitAttention:
    check_attention(attention, trait_names)
    if not attention.trait_rollout:
        raise NothingToDraw("rollout needs cross-attention blocks, but the model has no blocks.")
    means, samples = attention.trait_rollout, attention.sample_trait_rollout
    return TraitAttention(
        title="Attention rollout of each trait",
        has_shares=False,  # rollout values of different streams are not comparable
        attention=attention,
        trait_names=tuple(trait_names),
        streams=_streams(attention, means, samples, attention.trait_rollout_even),
    )


def _streams(
    attention: AttentionMeasurements,
    means: Mapping[str, FloatArray],
    samples: Mapping[str, FloatArray],
    uniform: Mapping[str, FloatArray],
) -> tuple[StreamAttention, ...]:
    streams = tuple(
        StreamAttention(
            name=stream_name(attention, stream),
            mean=mean,
            samples=samples[stream],
            share=attention.trait_share[stream],
            uniform=uniform[stream],
            labels=[
                key_labels(attention, stream, sample)
                for sample in (None, *range(len(attention.sample_ids)))
            ],
            unit="s" if stream in attention.seconds else "",
            is_even=is_even(samples[stream]),
        )
        for stream, mean in means.items()
        if np.isfinite(mean).any()  # otherwise, all measured clips lack the stream
    )
    if all(stream.is_even for stream in streams):
        raise NothingToDraw("the attention is even: every key has about the same weight.")
    return streams


def _draw_trait_attention(data: TraitAttention, style: Style) -> Figure:
    colours = trait_colours(data.trait_names)
    handles = list(map(line_handle, data.trait_names, colours))
    grid = Grid(
        style,
        title=data.title,
        sample=sample_text(data.attention),
        rows=[
            (f"{_heading(data, stream)}: {describe_even(float(np.nanmean(stream.uniform)))}", None)
            if stream.is_even
            else (f"{_heading(data, stream)}{stream.unit and '; times in seconds'}", 0.6)
            for stream in data.streams
        ],
        columns=(
            f"mean of {len(data.attention.clip_ids):,} clips",
            *map(shorten_clip_id, data.attention.sample_ids),
        ),
        left=5.0,
        gap=2.2,
        legend=[*handles, line_handle("uniform attention", MUTED, "--")],
    )
    for stream, (first, *others) in zip(data.streams, grid.boxes(), strict=True):
        if stream.is_even:
            continue
        draw_mean_attention(grid.add_panel(first), stream, colours, width=first.width)
        limit = largest_weight(stream.samples)
        samples = zip(others, stream.samples, stream.labels[1:], strict=True)
        for box, weights, labels in samples:
            grid.draw_map(box, weights, limit=limit, labels=[labels])
            grid.name_traits(box, data.trait_names, is_short=True)
        if others:
            grid.draw_bar(first, limit)
    return grid.figure


def draw_mean_attention(
    axes: Axes, stream: StreamAttention, colours: Sequence[str], *, width: float
) -> None:
    """Draw the mean weight of each time step, one line per trait.

    `colours` has K entries. `width` is the width of the panel in em.
    """
    num_steps = stream.mean.shape[1]
    steps = np.arange(1, num_steps + 1)
    uniform = stream.uniform
    axes.plot(
        [0.5, *steps, num_steps + 0.5],  # full panel width, even for one time step
        [uniform[0], *uniform, uniform[-1]],
        color=MUTED,
        linestyle="--",
        linewidth=1.0,
    )
    for colour, weights in zip(colours, stream.mean, strict=True):
        marker = "o" if num_steps <= 16 else ""
        axes.plot(steps, weights, color=colour, marker=marker, markersize=3)
    labels = stream.labels[0]
    ticks = spaced_labels(labels, width / num_steps)
    axes.set_xticks([tick + 1 for tick in ticks], [labels[tick] for tick in ticks])
    axes.set_xlim(0.5, num_steps + 0.5)
    axes.set_ylim(0, max(1.1 * largest_weight(stream.mean), 2 * largest_weight(uniform)))
    axes.locator_params(axis="y", nbins=4)


def describe_trait_attention(data: TraitAttention) -> str:
    """Describe the time step of each stream with the most attention relative to uniform attention.

    The attention is the mean over clips and traits.
    """
    parts = []
    for stream in data.streams:
        mean = stream.mean.mean(axis=0)
        step = int(np.nanargmax(mean / stream.uniform))
        largest, uniform = (number(float(values[step])) for values in (mean, stream.uniform))
        parts.append(
            f"{_heading(data, stream)}, maximum {largest} at {_place(stream, step)} "
            f"(uniform: {uniform})"
        )
    num_traits = count(len(data.trait_names), "trait")
    sample = f"{len(data.attention.clip_ids):,} clips and {num_traits}"
    return f"{data.title}, mean of {sample}. {'; '.join(parts)}."


def _place(stream: StreamAttention, step: int) -> str:
    label = stream.labels[0][step]
    return f"{label} s" if stream.unit and label else f"number {step + 1}"


def _heading(data: TraitAttention, stream: StreamAttention) -> str:
    name = stream.name.capitalize()
    if not data.has_shares:
        return name
    return f"{name}: {percent(float(stream.share.mean()))} of the attention"


FIGURES: Final = (
    FigureSpec(
        name="trait_attention",
        folder=FOLDER,
        title="Attention of each trait",
        caption=(
            "Attention weights of the trait queries, averaged over heads. Left: mean over "
            "the clips that have the step; dashed: uniform attention over the steps of these "
            "clips. Right: sample clips, with the traits in the order of the legend. If the times "
            "of the steps are known, the columns show seconds."
        ),
        data=trait_attention_data,
        draw=_draw_trait_attention,
        alt_text=describe_trait_attention,
    ),
    FigureSpec(
        name="trait_rollout",
        folder=FOLDER,
        title="Attention rollout of each trait",
        caption=(
            "Weights of the trait queries, traced back to the inputs through the cross-attention "
            "blocks (attention rollout, arXiv:2005.00928). Compare steps only within a stream. "
            "The layout is the same as in the figure of attention weights."
        ),
        data=_trait_rollout_data,
        draw=_draw_trait_attention,
        alt_text=describe_trait_attention,
    ),
)
