"""Attention overview: attention of the traits, entropy of the heads, and faithfulness.

Shapes: K traits, H heads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray
from pipeline.core.traits import short_names
from pipeline.figures.attention import faithfulness, heads, traits
from pipeline.figures.attention.grid import (
    FOLDER,
    describe_even,
    head_colours,
    map_name,
    sample_text,
)
from pipeline.figures.base.layout import build_panels, hide_panel, line_handle, name_rows
from pipeline.figures.base.spec import FigureSpec, data_or_none
from pipeline.figures.base.style import ACCENTS, PALE, Style, trait_colours
from pipeline.records.attention import AttentionMeasurements


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionDashboard:
    """Data of the attention overview."""

    traits: traits.TraitAttention
    entropy: heads.AttentionEntropy
    agreement: Mapping[str, FloatArray]
    """Map name -> agreement between heads, shape (H, H); empty if the model has one head."""
    deletions: faithfulness.StreamCurves
    """Deletion curves per stream; empty if deletion was not measured."""


def _dashboard_data(
    attention: AttentionMeasurements, trait_names: Sequence[str]
) -> AttentionDashboard:
    agreement = data_or_none(heads.head_agreement_data, attention)
    deletions = data_or_none(faithfulness.faithfulness_data, attention)
    return AttentionDashboard(
        traits=traits.trait_attention_data(attention, trait_names),
        entropy=heads.attention_entropy_data(attention),
        agreement={} if agreement is None else agreement.maps,
        deletions=() if deletions is None else deletions.streams,
    )


def _draw_dashboard(data: AttentionDashboard, style: Style) -> Figure:
    streams, entropy = data.traits.streams, data.entropy.maps[-1]
    has_agreement = bool(data.agreement) and not data.deletions
    legend = []
    if data.deletions:
        legend.append(line_handle("steps hidden first:", "none", "none"))
        legend += faithfulness.deletion_handles(data.deletions)
    figure, panels = build_panels(
        style,
        title="Attention overview",
        sample=sample_text(data.traits.attention),
        num_panels=data.traits.has_shares + len(streams) + 1 + len(data.deletions) + has_agreement,
        columns=3,
        aspect=0.72,
        legend=legend,
    )
    free_panels = iter(panels)
    if data.traits.has_shares:
        _draw_shares(next(free_panels), streams, data.traits.trait_names)
    colours = trait_colours(data.traits.trait_names)
    for stream in streams:
        axes = next(free_panels)
        axes.set_title(f"attention over {stream.name}")
        if stream.is_even:
            hide_panel(axes, describe_even(float(np.nanmean(stream.uniform))))
            continue
        width = axes.get_position().width * style.full_width / style.em
        traits.draw_mean_attention(axes, stream, colours, width=width)
        name = stream.name.removesuffix("s")
        axes.set_xlabel(f"time of the {name} (s)" if stream.unit else name)
        axes.set_ylabel("weight")
    axes = next(free_panels)
    heads.draw_entropy_quantiles(axes, entropy, head_colours(entropy.num_heads))
    axes.set_title(f"{map_name(entropy.name)}: entropy over clips")
    for steps, curves in data.deletions:
        axes = next(free_panels)
        faithfulness.draw_score_change(axes, steps, curves)
        axes.set_title("effect of hiding steps")
    if has_agreement:
        _draw_agreement(next(free_panels), data.agreement)
    return figure


def _describe_dashboard(data: AttentionDashboard) -> str:
    curves = " and deletion curves" if data.deletions else ""
    text = traits.describe_trait_attention(data.traits)
    return f"{text} The figure also shows the entropy of each head{curves}."


def _draw_shares(
    axes: Axes, streams: tuple[traits.StreamAttention, ...], trait_names: tuple[str, ...]
) -> None:
    first, *others = streams
    colours, rows = trait_colours(trait_names), np.arange(len(trait_names))
    axes.barh(rows, 1.0, height=0.62, color=PALE)
    left = np.zeros(len(trait_names))
    for number, stream in enumerate(streams[:-1]):  # the pale rest is the last stream
        alpha = 1.0 - number / len(others)
        axes.barh(rows, stream.share, left=left, height=0.62, color=colours, alpha=alpha)
        left = left + stream.share
    name_rows(axes, short_names(trait_names))
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    if len(others) == 1:
        axes.set_title(f"attention to {first.name}")
        axes.set_xlabel(f"share (rest: {others[0].name})")
    else:
        axes.set_title("attention to each stream")
        axes.set_xlabel(f"share ({first.name} to {others[-1].name})")


def _draw_agreement(axes: Axes, agreement: Mapping[str, FloatArray]) -> None:
    names = [map_name(name) for name in agreement]
    means = [heads.mean_agreement(matrix) for matrix in agreement.values()]
    axes.barh(names, means, height=0.4, color=ACCENTS[0])
    for row, name in enumerate(names):
        axes.text(0.01, row - 0.26, name, va="bottom", size="small")
    axes.set_yticks([])
    axes.set_ylim(len(names) - 0.6, -0.8)
    axes.set_xlim(0, 1)
    axes.set_title("agreement between heads")
    axes.set_xlabel("mean over pairs of heads")


FIGURE: Final = FigureSpec(
    name="attention_dashboard",
    folder=FOLDER,
    title="Attention overview",
    caption=(
        "Share of attention per stream, mean attention per trait and step (dashed: uniform "
        "attention), entropy per head, and score change if steps are hidden. Order of hiding: "
        "highest rank first (solid), lowest rank first (dashed), or random (dotted). Ranks are "
        "based on rollout (blue) or on weights (orange)."
    ),
    data=_dashboard_data,
    draw=_draw_dashboard,
    alt_text=_describe_dashboard,
)
