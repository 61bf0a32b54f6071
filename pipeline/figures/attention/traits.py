"""Which steps each trait looks at: on average over the clips, and in the named ones.

Shapes: M named clips, K = 5 traits, T steps or tokens of one stream.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import number, percent
from pipeline.core.traits import TRAITS
from pipeline.figures.attention.grid import Grid, GridRow, limit_of, step_numbers
from pipeline.figures.attention.wording import (
    FOLDER,
    require_attention,
    shortened,
    stream_name,
)
from pipeline.figures.base.layout import line_handle
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import MUTED, TRAIT_COLOURS, Style, styled
from pipeline.records.attention import AttentionMeasurements


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamLooks:
    """Where the traits look in one stream."""

    name: str
    """What the steps are called."""
    mean: FloatArray
    """Mean over the clips in which the step is real, shape (K, T)."""
    samples: FloatArray
    """The named clips, shape (M, K, T); NaN is padding."""
    share: FloatArray
    """Share of its attention that each trait gives to the stream, mean over clips, shape (K,)."""
    even: FloatArray
    """What the mean of each step would be after an even look at the real steps, shape (T,)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TraitLooks:
    """Where the traits look."""

    title: str
    """Title of the figure."""
    has_shares: bool
    """Whether it says something how the traits share their attention out between streams."""
    num_clips: int
    """Clips behind the means."""
    clip_ids: tuple[str, ...]
    """The named clips."""
    streams: tuple[StreamLooks, ...]
    """The streams, in the order of the model."""


def trait_attention_data(attention: AttentionMeasurements) -> TraitLooks:
    """Return where the traits look, the mean over heads."""
    require_attention(attention)
    return _looks(
        attention,
        "Where each trait looks",
        attention.trait_attention,
        attention.sample_trait_attention,
        attention.trait_attention_even,
        has_shares=_shares_out(attention),
    )


def trait_rollout_data(attention: AttentionMeasurements) -> TraitLooks:
    """Return from which steps each trait gets its evidence, by way of the blocks."""
    require_attention(attention)
    if not attention.trait_rollout:
        raise NothingToDraw("the model has no cross-attention blocks to follow attention through.")
    return _looks(
        attention,
        "Where each trait's evidence comes from (attention rollout)",
        attention.trait_rollout,
        attention.sample_trait_rollout,
        attention.trait_rollout_even,
        has_shares=False,  # the rollout decides them, not the model
    )


@styled
def draw_trait_looks(data: TraitLooks, style: Style) -> Figure:
    """Draw the mean as lines over the steps, and the named clips as maps."""
    handles = [line_handle(trait, TRAIT_COLOURS[trait]) for trait in TRAITS]
    grid = Grid(
        style,
        title=data.title,
        rows=[GridRow(heading=_heading(data, stream), aspect=0.6) for stream in data.streams],
        columns=(f"mean of {data.num_clips:,} clips", *map(shortened, data.clip_ids)),
        left=5.0,
        gap=2.2,
        legend=[*handles, line_handle("an even look", MUTED, "--")],
    )
    for stream, (first, *others) in zip(data.streams, grid.boxes(), strict=True):
        draw_mean_looks(grid.add_panel(first), stream)
        limit = limit_of(stream.samples)
        for box, weights in zip(others, stream.samples, strict=True):
            grid.draw_map(box, weights, limit=limit)
            grid.name_traits(box, is_short=True)
        if others:
            grid.draw_bar(first, limit)
    return grid.figure


def draw_mean_looks(axes: Axes, stream: StreamLooks) -> None:
    """Draw the mean weight of each step, one line a trait, into a panel."""
    num_steps = stream.mean.shape[1]
    steps = np.arange(1, num_steps + 1)
    # Beyond the ends, so that the line of a stream of one length crosses the panel.
    axes.plot(
        [0.5, *steps, num_steps + 0.5],
        [stream.even[0], *stream.even, stream.even[-1]],
        color=MUTED,
        linestyle="--",
        linewidth=1.0,
    )
    for trait, weights in zip(TRAITS, stream.mean, strict=True):
        marker = "o" if num_steps <= 16 else ""
        axes.plot(steps, weights, color=TRAIT_COLOURS[trait], marker=marker, markersize=3)
    axes.set_xticks(step_numbers(num_steps, 8))
    axes.set_xlim(0.5, num_steps + 0.5)
    axes.set_ylim(0, max(1.1 * limit_of(stream.mean), 2 * limit_of(stream.even)))
    axes.locator_params(axis="y", nbins=4)


def describe_trait_looks(data: TraitLooks) -> str:
    """Return the most looked-at step of each stream in one sentence."""
    parts = []
    for stream in data.streams:
        mean = stream.mean.mean(axis=0)
        step = int(np.nanargmax(mean / stream.even))
        parts.append(
            f"{_heading(data, stream)}, most at number {step + 1} with "
            f"{number(float(mean[step]))}, where an even look has "
            f"{number(float(stream.even[step]))}"
        )
    return f"{data.title}, mean of {data.num_clips:,} clips and five traits. {'; '.join(parts)}."


def _shares_out(attention: AttentionMeasurements) -> bool:
    """Return whether the traits choose between streams, rather than look at each by itself."""
    shares = [_share(attention, stream) for stream in attention.trait_attention]
    return len(shares) > 1 and float(np.sum(shares, axis=0).mean()) < 1.5


def _share(attention: AttentionMeasurements, stream: str) -> FloatArray:
    """Return the share of each trait, shape (K,); earlier records leave it to the means."""
    mean = attention.trait_attention[stream]
    return attention.trait_share.get(stream, np.nansum(mean, axis=1))


def _even_look(mean: FloatArray) -> FloatArray:
    """Return an even look at steps that all clips have, shape (T,)."""
    return np.full(mean.shape[1], np.nansum(mean, axis=1).mean() / mean.shape[1])


def _heading(data: TraitLooks, stream: StreamLooks) -> str:
    name = stream.name.capitalize()
    if not data.has_shares:
        return name
    return f"{name}: {percent(float(stream.share.mean()))} of the attention"


def _looks(
    attention: AttentionMeasurements,
    title: str,
    means: Mapping[str, FloatArray],
    samples: Mapping[str, FloatArray],
    even: Mapping[str, FloatArray],
    *,
    has_shares: bool,
) -> TraitLooks:
    return TraitLooks(
        title=title,
        has_shares=has_shares,
        num_clips=len(attention.clip_ids),
        clip_ids=attention.sample_ids,
        streams=tuple(
            StreamLooks(
                name=stream_name(attention, stream),
                mean=mean,
                samples=samples[stream],
                share=_share(attention, stream),
                even=even.get(stream, _even_look(mean)),
            )
            for stream, mean in means.items()
        ),
    )


FIGURES: Final = (
    FigureSpec(
        name="trait_attention",
        folder=FOLDER,
        title="Where each trait looks",
        caption=(
            "Weights of the five trait queries, averaged over heads. Left: mean over the clips "
            "that have the step, with an even look at the steps of those clips dashed. Right: "
            "named clips, rows in OCEAN order."
        ),
        needs=("attention",),
        data=trait_attention_data,
        draw=draw_trait_looks,
        alt_text=describe_trait_looks,
    ),
    FigureSpec(
        name="trait_rollout",
        folder=FOLDER,
        title="Where each trait's evidence comes from",
        caption=(
            "The weights of the trait queries, followed back through the cross-attention blocks "
            "(attention rollout, arXiv:2005.00928): a token that is looked at has itself looked "
            "at others. Compare steps within a stream; left and right as in the figure before."
        ),
        needs=("attention",),
        data=trait_rollout_data,
        draw=draw_trait_looks,
        alt_text=describe_trait_looks,
    ),
)
"""The looks of the traits: direct, and through the blocks."""
