"""How widely each head looks: over the epochs of training, and from clip to clip.

Shapes: E epochs, N clips, H heads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.errors import PipelineError
from pipeline.core.number_format import number
from pipeline.figures.attention.grid import head_colours
from pipeline.figures.attention.wording import FOLDER, map_name, require_attention
from pipeline.figures.base.layout import build_panels, hide_panel, line_handle
from pipeline.figures.base.spec import FigureSpec
from pipeline.figures.base.style import Style, styled
from pipeline.figures.training.curves import MAX_MARKED_EPOCHS, set_epoch_axis
from pipeline.records.attention import AttentionMeasurements

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Shares of the clips below the marks of a bar."""

_MAX_LISTED_HEADS: Final = 8
_MAX_COLUMNS: Final = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadEntropy:
    """The normalised entropy of the heads of one map: 0 is one key, 1 is all keys alike."""

    name: str
    """Name of the map."""
    epochs: IntArray
    """Numbers of the epochs that were followed, shape (E,); empty where none was."""
    over_epochs: FloatArray
    """Mean over some validation clips after each epoch, shape (E, H)."""
    quantiles: FloatArray
    """`QUANTILES` over the clips, of the trained model, shape (5, H)."""

    @property
    def num_heads(self) -> int:
        """The number of heads H."""
        return int(self.quantiles.shape[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionEntropy:
    """The normalised entropy of every head."""

    num_clips: int
    """Clips behind the quantiles."""
    maps: tuple[HeadEntropy, ...]
    """One entry a map."""

    @property
    def has_epochs(self) -> bool:
        """Whether the entropies were followed over the epochs."""
        return any(entropy.epochs.size for entropy in self.maps)


def attention_entropy_data(
    attention: AttentionMeasurements, attention_history: Sequence[Mapping[str, Any]] = ()
) -> AttentionEntropy:
    """Return the normalised entropy of every head, over clips and over epochs.

    Args:
        attention: What was measured of the trained model.
        attention_history: Contents of the run log's events `attention`, in their order.
    """
    require_attention(attention)
    maps = []
    for name, entropy in attention.entropy.items():
        epochs, values = _over_epochs(attention_history, name, num_heads=entropy.shape[1])
        maps.append(
            HeadEntropy(
                name=name,
                epochs=epochs,
                over_epochs=values,
                quantiles=np.nanquantile(entropy, QUANTILES, axis=0),
            )
        )
    return AttentionEntropy(num_clips=len(attention.clip_ids), maps=tuple(maps))


@styled
def draw_attention_entropy(data: AttentionEntropy, style: Style) -> Figure:
    """Draw the entropies: a row a map, over epochs where they were followed, and over clips."""
    num_heads = max(entropy.num_heads for entropy in data.maps)
    colours = head_colours(num_heads)
    handles = [line_handle(f"head {head + 1}", colour) for head, colour in enumerate(colours)]
    columns = 2 if data.has_epochs else min(_MAX_COLUMNS, len(data.maps))
    num_panels = len(data.maps) * (2 if data.has_epochs else 1)
    figure, panels = build_panels(
        style,
        title=f"How widely each head looks, over {data.num_clips:,} clips",
        rows=-(-num_panels // columns),
        columns=columns,
        width="full" if columns > 1 else "column",
        aspect=0.4 if data.has_epochs else 0.8,
        legend=handles if 1 < num_heads <= _MAX_LISTED_HEADS and data.has_epochs else (),
    )
    places = iter(panels)
    for entropy in data.maps:
        if data.has_epochs:
            _draw_over_epochs(next(places), entropy, colours)
        axes = next(places)
        draw_over_clips(axes, entropy, colours)
        axes.set_title(map_name(entropy.name) + (", over the clips" if data.has_epochs else ""))
    for axes in places:
        hide_panel(axes)
    return figure


def draw_over_clips(axes: Axes, entropy: HeadEntropy, colours: Sequence[str]) -> None:
    """Draw what the heads do from clip to clip into a panel."""
    heads = np.arange(1, entropy.num_heads + 1)
    low, first, median, third, high = entropy.quantiles
    used = list(colours[: entropy.num_heads])
    axes.vlines(heads, low, high, colors=used, linewidth=1.2)
    axes.vlines(heads, first, third, colors=used, linewidth=6)
    axes.scatter(heads, median, s=14, color="white", edgecolors=used, zorder=3)
    axes.set_xlim(0.4, entropy.num_heads + 0.6)
    axes.set_xticks(heads if entropy.num_heads <= _MAX_LISTED_HEADS else heads[:: len(heads) // 4])
    axes.set_xlabel("head")
    _set_entropy_axis(axes)


def describe_attention_entropy(data: AttentionEntropy) -> str:
    """Return the median entropies in one sentence."""
    parts = []
    for entropy in data.maps:
        medians = ", ".join(number(float(value)) for value in entropy.quantiles[2])
        parts.append(f"{map_name(entropy.name)} {medians}")
    return (
        f"Median normalised entropy of each head over {data.num_clips:,} clips, where 0 is a look "
        f"at one key and 1 an even look at all: {'; '.join(parts)}."
    )


def _draw_over_epochs(axes: Axes, entropy: HeadEntropy, colours: Sequence[str]) -> None:
    axes.set_title(f"{map_name(entropy.name)}, over the epochs")
    axes.set_xlabel("epoch")
    _set_entropy_axis(axes)
    if not entropy.epochs.size:
        return
    marker = "o" if len(entropy.epochs) <= MAX_MARKED_EPOCHS else ""
    for values, colour in zip(entropy.over_epochs.T, colours, strict=False):
        axes.plot(entropy.epochs, values, color=colour, marker=marker, markersize=3)
    set_epoch_axis(axes, entropy.epochs)
    _set_entropy_axis(axes)


def _set_entropy_axis(axes: Axes) -> None:
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_ylabel("entropy")


def _over_epochs(
    history: Sequence[Mapping[str, Any]], name: str, *, num_heads: int
) -> tuple[IntArray, FloatArray]:
    """Return the epochs (E,) that tell of a map, and the entropies of its heads (E, H)."""
    try:
        told = [(event["epoch"], event["entropy"][name]) for event in history]
        epochs = np.array([epoch for epoch, _ in told], dtype=np.int64)
        values = np.array([heads for _, heads in told], dtype=np.float64)
        return epochs, values.reshape(len(told), num_heads)
    except (KeyError, TypeError, ValueError) as error:
        raise PipelineError(
            f"events.jsonl: an event `attention` does not hold the entropies of {num_heads} heads "
            f"for {name} ({error}). Restore the file from the run's artifacts."
        ) from error


FIGURES: Final = (
    FigureSpec(
        name="attention_entropy",
        folder=FOLDER,
        title="How widely each head looks",
        caption=(
            "Entropy of each head's weights, divided by the log of the number of keys: 0 is a "
            "look at one key, 1 an even look at all. Bars hold the middle half of the clips, "
            "lines nine tenths, the dot is the median."
        ),
        needs=("attention",),
        uses=("attention_history",),
        data=attention_entropy_data,
        draw=draw_attention_entropy,
        alt_text=describe_attention_entropy,
    ),
)
"""The entropies of the heads."""
