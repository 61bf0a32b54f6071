"""Overview of attention: traits, entropy of the heads, and faithfulness.

Shapes: K = 5 traits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.core.traits import TRAITS
from pipeline.figures.attention.faithfulness import (
    StreamFaithfulness,
    deletion_handles,
    draw_movement,
    faithfulness_data,
)
from pipeline.figures.attention.grid import FOLDER, head_colours, map_name
from pipeline.figures.attention.heads import (
    AttentionEntropy,
    MapAgreement,
    attention_entropy_data,
    draw_over_clips,
    head_agreement_data,
)
from pipeline.figures.attention.traits import (
    StreamAttention,
    TraitAttention,
    describe_trait_attention,
    draw_mean_attention,
    trait_attention_data,
)
from pipeline.figures.base.layout import build_panels, hide_panel, line_handle, name_rows
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import ACCENTS, PALE, TRAIT_COLOURS, Style, styled
from pipeline.records.attention import AttentionMeasurements

_COLUMNS: Final = 3
_Panel: TypeAlias = Callable[[Axes], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionDashboard:
    """Data of the overview."""

    traits: TraitAttention
    """Attention of the traits."""
    entropy: AttentionEntropy
    """Entropy of the heads."""
    agreement: tuple[MapAgreement, ...]
    """Agreement between heads; empty for a single head."""
    faithfulness: tuple[StreamFaithfulness, ...]
    """Deletion curves; empty if they were not measured."""


def attention_dashboard_data(attention: AttentionMeasurements) -> AttentionDashboard:
    """Return the data of the overview."""
    return AttentionDashboard(
        traits=trait_attention_data(attention),
        entropy=attention_entropy_data(attention),
        agreement=_or_empty(head_agreement_data, attention),
        faithfulness=_or_empty(faithfulness_data, attention),
    )


@styled
def draw_attention_dashboard(data: AttentionDashboard, style: Style) -> Figure:
    """Draw the overview."""
    drawers = _panels(data)
    figure, panels = build_panels(
        style,
        title="Attention overview",
        rows=-(-len(drawers) // _COLUMNS),
        columns=_COLUMNS,
        aspect=0.72,
        legend=_handles(data),
    )
    for axes, draw in zip(panels, drawers, strict=False):
        draw(axes)
    for axes in panels[len(drawers) :]:
        hide_panel(axes)
    return figure


def describe_attention_dashboard(data: AttentionDashboard) -> str:
    """Describe the attention of the traits, and list the other panels, in one sentence."""
    curves = "deletion curves" if data.faithfulness else "no deletion curves"
    traits = describe_trait_attention(data.traits).removesuffix(".")
    return f"{traits}; also shown: entropy of each head and {curves}."


def _panels(data: AttentionDashboard) -> list[_Panel]:
    streams = data.traits.streams
    panels: list[_Panel] = []
    if data.traits.has_shares:
        panels.append(partial(_draw_shares, streams=streams))
    panels += [partial(_draw_stream, stream=stream) for stream in streams]
    panels.append(partial(_draw_entropy, entropy=data.entropy))
    if data.faithfulness:
        panels += [partial(_draw_deletion, stream=stream) for stream in data.faithfulness]
    elif data.agreement:
        panels.append(partial(_draw_agreement, agreement=data.agreement))
    return panels


def _handles(data: AttentionDashboard) -> list[Line2D]:
    if not data.faithfulness:
        return []
    curves = deletion_handles(data.faithfulness[0].curves)
    return [line_handle("steps hidden first:", "none", "none"), *curves]


def _draw_shares(axes: Axes, streams: tuple[StreamAttention, ...]) -> None:
    first, *others = streams
    axes.barh(TRAITS, [1.0] * len(TRAITS), height=0.62, color=PALE)
    axes.barh(TRAITS, first.share, height=0.62, color=[TRAIT_COLOURS[trait] for trait in TRAITS])
    name_rows(axes, [trait[0].upper() for trait in TRAITS])
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.set_title(f"attention to {first.name}")
    axes.set_xlabel(f"share (rest: {', '.join(stream.name for stream in others)})")


def _draw_stream(axes: Axes, stream: StreamAttention) -> None:
    draw_mean_attention(axes, stream)
    axes.set_title(f"attention over {stream.name}")
    axes.set_xlabel(stream.name.removesuffix("s"))
    axes.set_ylabel("weight")


def _draw_entropy(axes: Axes, entropy: AttentionEntropy) -> None:
    last = entropy.maps[-1]
    draw_over_clips(axes, last, head_colours(last.num_heads))
    axes.set_title(f"{map_name(last.name)}: entropy over clips")


def _draw_deletion(axes: Axes, stream: StreamFaithfulness) -> None:
    draw_movement(axes, stream)
    axes.set_title("effect of hiding steps")


def _draw_agreement(axes: Axes, agreement: tuple[MapAgreement, ...]) -> None:
    names = [map_name(entry.name) for entry in agreement]
    axes.barh(names, [entry.mean for entry in agreement], height=0.4, color=ACCENTS[0])
    for row, name in enumerate(names):
        axes.text(0.01, row - 0.26, name, va="bottom", size="small")
    axes.set_yticks([])
    axes.set_ylim(len(names) - 0.6, -0.8)
    axes.set_xlim(0, 1)
    axes.set_title("agreement between heads")
    axes.set_xlabel("mean over pairs of heads")


def _or_empty(
    build: Callable[[AttentionMeasurements], Any], attention: AttentionMeasurements
) -> Any:
    try:
        return build(attention)
    except NothingToDraw:
        return ()


FIGURES: Final = (
    FigureSpec(
        name="attention_dashboard",
        folder=FOLDER,
        title="Attention overview",
        caption=(
            "Share of attention per stream, mean attention of each trait over the steps (dashed: "
            "uniform attention), entropy of each head, and change of the scores if steps are "
            "hidden (solid: highest rank first, dashed: lowest rank first, dotted: random; blue: "
            "by rollout, orange: by weight)."
        ),
        needs=("attention",),
        data=attention_dashboard_data,
        draw=draw_attention_dashboard,
        alt_text=describe_attention_dashboard,
    ),
)
