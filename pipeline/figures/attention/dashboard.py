"""Attention at a glance: where the traits look, how widely, and whether it decides the scores.

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
from pipeline.figures.attention.agreement import HeadAgreement, head_agreement_data
from pipeline.figures.attention.entropy import (
    AttentionEntropy,
    attention_entropy_data,
    draw_over_clips,
)
from pipeline.figures.attention.faithfulness import (
    Faithfulness,
    StreamFaithfulness,
    curve_handles,
    draw_movement,
    faithfulness_data,
)
from pipeline.figures.attention.grid import head_colours
from pipeline.figures.attention.traits import (
    StreamLooks,
    TraitLooks,
    describe_trait_looks,
    draw_mean_looks,
    trait_attention_data,
)
from pipeline.figures.attention.wording import FOLDER, map_name
from pipeline.figures.base.layout import build_panels, hide_panel, line_handle, name_rows
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import ACCENTS, PALE, TRAIT_COLOURS, Style, styled
from pipeline.records.attention import AttentionMeasurements

_COLUMNS: Final = 3
_Panel: TypeAlias = Callable[[Axes], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionDashboard:
    """The numbers of the dashboard."""

    looks: TraitLooks
    """Where the traits look."""
    entropy: AttentionEntropy
    """How widely the heads look."""
    agreement: HeadAgreement | None
    """How alike the heads look; None for a single head."""
    faithfulness: Faithfulness | None
    """What hiding steps does; None where there are no steps to hide."""


def attention_dashboard_data(attention: AttentionMeasurements) -> AttentionDashboard:
    """Return the numbers of the dashboard."""
    return AttentionDashboard(
        looks=trait_attention_data(attention),
        entropy=attention_entropy_data(attention),
        agreement=_if_any(head_agreement_data, attention),
        faithfulness=_if_any(faithfulness_data, attention),
    )


@styled
def draw_attention_dashboard(data: AttentionDashboard, style: Style) -> Figure:
    """Draw the dashboard."""
    drawers = _panels(data)
    figure, panels = build_panels(
        style,
        title="Attention at a glance",
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
    """Return where the traits look, and what else is shown, in one sentence."""
    checked = "deletion curves" if data.faithfulness else "no deletion curves"
    looks = describe_trait_looks(data.looks).removesuffix(".")
    return f"{looks}; with the entropy of each head and {checked}."


def _panels(data: AttentionDashboard) -> list[_Panel]:
    """Return what draws each panel, most telling first."""
    streams = data.looks.streams
    panels: list[_Panel] = []
    if data.looks.has_shares:
        panels.append(partial(_draw_shares, streams=streams))
    panels += [partial(_draw_looks, stream=stream) for stream in streams]
    panels.append(partial(_draw_entropy, entropy=data.entropy))
    if data.faithfulness:
        panels += [partial(_draw_deletion, stream=each) for each in data.faithfulness.streams]
    elif data.agreement:
        panels.append(partial(_draw_agreement, agreement=data.agreement))
    return panels


def _handles(data: AttentionDashboard) -> list[Line2D]:
    if data.faithfulness is None:
        return []
    curves = curve_handles(data.faithfulness.streams[0].curves)
    return [line_handle("steps hidden first:", "none", "none"), *curves]


def _draw_shares(axes: Axes, streams: tuple[StreamLooks, ...]) -> None:
    first, second = streams
    axes.barh(TRAITS, [1.0] * len(TRAITS), height=0.62, color=PALE)
    axes.barh(TRAITS, first.share, height=0.62, color=[TRAIT_COLOURS[trait] for trait in TRAITS])
    name_rows(axes, [trait[0].upper() for trait in TRAITS])
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.set_title(f"attention on {first.name}")
    axes.set_xlabel(f"share (rest: {second.name})")


def _draw_looks(axes: Axes, stream: StreamLooks) -> None:
    draw_mean_looks(axes, stream)
    axes.set_title(f"look at {stream.name}")
    axes.set_xlabel(stream.name.removesuffix("s"))
    axes.set_ylabel("weight")


def _draw_entropy(axes: Axes, entropy: AttentionEntropy) -> None:
    last = entropy.maps[-1]
    draw_over_clips(axes, last, head_colours(last.num_heads))
    axes.set_title(f"{map_name(last.name)}: entropy over clips")


def _draw_deletion(axes: Axes, stream: StreamFaithfulness) -> None:
    draw_movement(axes, stream)
    axes.set_title("effect of hiding steps")


def _draw_agreement(axes: Axes, agreement: HeadAgreement) -> None:
    names = [map_name(entry.name) for entry in agreement.maps]
    axes.barh(names, [entry.mean for entry in agreement.maps], height=0.4, color=ACCENTS[0])
    for row, name in enumerate(names):
        axes.text(0.01, row - 0.26, name, va="bottom", size="small")
    axes.set_yticks([])
    axes.set_ylim(len(names) - 0.6, -0.8)
    axes.set_xlim(0, 1)
    axes.set_title("agreement of the heads")
    axes.set_xlabel("mean over pairs of heads")


def _if_any(build: Callable[[AttentionMeasurements], Any], attention: AttentionMeasurements) -> Any:
    try:
        return build(attention)
    except NothingToDraw:
        return None


FIGURES: Final = (
    FigureSpec(
        name="attention_dashboard",
        folder=FOLDER,
        title="Attention at a glance",
        caption=(
            "How the traits share their attention out, which steps they look at on average "
            "(dashed: an even look), how widely each head looks, and how far the scores move when "
            "steps are hidden (solid: highest first, dashed: lowest first, dotted: at random; "
            "blue by rollout, orange by weight)."
        ),
        needs=("attention",),
        data=attention_dashboard_data,
        draw=draw_attention_dashboard,
        alt_text=describe_attention_dashboard,
    ),
)
"""The dashboard."""
