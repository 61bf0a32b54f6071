"""Entropy of each attention head, and agreement between heads.

Shapes: E epochs, N clips, H heads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.errors import PipelineError
from pipeline.core.number_format import number
from pipeline.figures.attention.grid import (
    FOLDER,
    check_attention,
    head_colours,
    map_name,
    sample_text,
)
from pipeline.figures.base.curves import epoch_marker, set_epoch_axis
from pipeline.figures.base.layout import build_panels, line_handle
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import SEQUENTIAL, Style
from pipeline.records.attention import AttentionMeasurements

_QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
_MAX_HEADS_WITH_TEXT: Final = 8
_MAX_COLUMNS: Final = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadEntropy:
    """Normalised entropy per head: 0 if one key has all attention, 1 if attention is uniform."""

    name: str
    epochs: IntArray
    """Epoch numbers, shape (E,); empty if the entropy was not logged."""
    over_epochs: FloatArray
    """Mean entropy over a sample of the validation clips, after each epoch, shape (E, H)."""
    quantiles: FloatArray
    """Quantiles (5, 25, 50, 75, 95 %) over the clips, for the trained model, shape (5, H)."""

    @property
    def num_heads(self) -> int:
        """Number of heads, H."""
        return int(self.quantiles.shape[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionEntropy:
    """Normalised entropy of every head in every map."""

    sample: str
    """Measured clips."""
    has_epochs: bool
    """True if the entropy was logged after each epoch."""
    maps: tuple[HeadEntropy, ...]


def attention_entropy_data(
    attention: AttentionMeasurements, attention_history: Sequence[Mapping[str, Any]] = ()
) -> AttentionEntropy:
    """Return the normalised entropy of every head: quantiles over clips, and mean per epoch."""
    check_attention(attention)
    maps = []
    for name, entropy in attention.entropy.items():
        epochs, values = _over_epochs(attention_history, name, num_heads=entropy.shape[1])
        maps.append(
            HeadEntropy(
                name=name,
                epochs=epochs,
                over_epochs=values,
                quantiles=np.nanquantile(entropy, _QUANTILES, axis=0),
            )
        )
    return AttentionEntropy(
        sample=sample_text(attention), has_epochs=bool(attention_history), maps=tuple(maps)
    )


def _draw_attention_entropy(data: AttentionEntropy, style: Style) -> Figure:
    num_heads = max(entropy.num_heads for entropy in data.maps)
    colours = head_colours(num_heads)
    handles = [line_handle(f"head {head + 1}", colour) for head, colour in enumerate(colours)]
    columns = 2 if data.has_epochs else min(_MAX_COLUMNS, len(data.maps))
    has_legend = 1 < num_heads <= _MAX_HEADS_WITH_TEXT and data.has_epochs
    figure, panels = build_panels(
        style,
        title="Attention entropy of each head",
        sample=data.sample,
        num_panels=len(data.maps) * (1 + data.has_epochs),
        columns=columns,
        width="full" if columns > 1 else "column",
        aspect=0.4 if data.has_epochs else 0.8,
        legend=handles if has_legend else (),
    )
    free_panels = iter(panels)
    for entropy in data.maps:
        if data.has_epochs:
            axes = next(free_panels)
            axes.set_title(f"{map_name(entropy.name)}, over the epochs")
            marker = epoch_marker(entropy.epochs)
            for values, colour in zip(entropy.over_epochs.T, colours, strict=False):
                axes.plot(entropy.epochs, values, color=colour, marker=marker, markersize=3)
            set_epoch_axis(axes, entropy.epochs)
            _set_entropy_axis(axes)
        axes = next(free_panels)
        draw_entropy_quantiles(axes, entropy, colours)
        axes.set_title(map_name(entropy.name) + (", over the clips" if data.has_epochs else ""))
    return figure


def draw_entropy_quantiles(axes: Axes, entropy: HeadEntropy, colours: Sequence[str]) -> None:
    """Draw the quantiles over the clips, one bar per head."""
    heads = np.arange(1, entropy.num_heads + 1)
    low, first, median, third, high = entropy.quantiles
    used = list(colours[: entropy.num_heads])
    axes.vlines(heads, low, high, colors=used, linewidth=1.2)
    axes.vlines(heads, first, third, colors=used, linewidth=6)
    axes.scatter(heads, median, s=14, color="white", edgecolors=used, zorder=3)
    axes.set_xlim(0.4, entropy.num_heads + 0.6)
    has_all_ticks = entropy.num_heads <= _MAX_HEADS_WITH_TEXT
    axes.set_xticks(heads if has_all_ticks else heads[:: len(heads) // 4])
    axes.set_xlabel("head")
    _set_entropy_axis(axes)


def _describe_attention_entropy(data: AttentionEntropy) -> str:
    parts = []
    for entropy in data.maps:
        medians = ", ".join(number(float(value)) for value in entropy.quantiles[2])
        parts.append(f"{map_name(entropy.name)} {medians}")
    return (
        f"Median normalised entropy per head over {data.sample} (0: one key, "
        f"1: uniform attention): {'; '.join(parts)}."
    )


def _set_entropy_axis(axes: Axes) -> None:
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_ylabel("entropy")


def _over_epochs(
    history: Sequence[Mapping[str, Any]], name: str, *, num_heads: int
) -> tuple[IntArray, FloatArray]:
    """Return two arrays for one map: epoch numbers (E,), and entropies (E, H)."""
    try:
        epochs = np.array([event["epoch"] for event in history], dtype=np.int64)
        values = np.array([event["entropy"][name] for event in history], dtype=np.float64)
        return epochs, values.reshape(len(epochs), num_heads)
    except (KeyError, TypeError, ValueError) as error:
        raise PipelineError(
            f"events.jsonl: an `attention` event must contain the entropies of {num_heads} heads "
            f"for {name}, but contains other values or no values ({error}). "
            "Restore the file from the run's artifacts."
        ) from error


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadAgreement:
    """Agreement between the heads of each map."""

    sample: str
    """Measured clips."""
    maps: Mapping[str, FloatArray]
    """Map name -> agreement between heads, shape (H, H), with values in [0, 1]."""


def head_agreement_data(attention: AttentionMeasurements) -> HeadAgreement:
    """Return the agreement between the heads of each map with at least two heads."""
    check_attention(attention)
    maps = {name: matrix for name, matrix in attention.agreement.items() if len(matrix) > 1}
    if not maps:
        raise NothingToDraw("agreement needs at least two heads, but the model has one head.")
    return HeadAgreement(sample=sample_text(attention), maps=maps)


def mean_agreement(matrix: FloatArray) -> float:
    """Return the mean agreement over pairs of different heads."""
    return float(matrix[np.tril_indices(len(matrix), k=-1)].mean())


def _draw_head_agreement(data: HeadAgreement, style: Style) -> Figure:
    columns = min(_MAX_COLUMNS, len(data.maps))
    has_scale = any(len(matrix) > _MAX_HEADS_WITH_TEXT for matrix in data.maps.values())
    figure, panels = build_panels(
        style,
        title="Agreement between heads",
        sample=data.sample,
        num_panels=len(data.maps),
        columns=columns,
        aspect=1.0,
        width="full" if columns > 1 else "column",
        left=3.4,
        right=3.4 if has_scale else 2.0,
        bottom=3.4,
    )
    for axes, (name, matrix) in zip(panels, data.maps.items(), strict=True):
        _draw_matrix(axes, matrix)
        axes.set_title(f"{map_name(name)}: {mean_agreement(matrix):.2f}")
    return figure


def _describe_head_agreement(data: HeadAgreement) -> str:
    parts = ", ".join(
        f"{map_name(name)} {number(mean_agreement(matrix))}" for name, matrix in data.maps.items()
    )
    return f"Mean agreement between two heads (1: equal attention, 0: no common key): {parts}."


def _draw_matrix(axes: Axes, matrix: FloatArray) -> None:
    num_heads = len(matrix)
    image = axes.imshow(matrix, cmap=SEQUENTIAL, vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    ticks = range(0, num_heads, -(-num_heads // 8))
    labels = [str(tick + 1) for tick in ticks]
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
    axes.set_xlabel("head")
    if num_heads > _MAX_HEADS_WITH_TEXT:
        scale = axes.inset_axes((1.03, 0.0, 0.04, 1.0))
        scale.figure.colorbar(image, cax=scale, ticks=[0, 1]).outline.set_visible(False)
        return
    for (row, column), value in np.ndenumerate(matrix):
        red, green, blue, _ = mpl.colormaps[SEQUENTIAL](float(value))
        is_light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
        colour = "black" if is_light else "white"
        text = f"{value:.2f}".removeprefix("0")  # no leading zero, because cells are small
        axes.text(column, row, text, ha="center", va="center", color=colour, size="small")


FIGURES: Final = (
    FigureSpec(
        name="attention_entropy",
        folder=FOLDER,
        title="Attention entropy of each head",
        caption=(
            "Entropy of the attention weights, divided by the logarithm of the number of keys. The "
            "value is 0 if one key has all attention, and 1 if attention is uniform. Bars show the "
            "middle 50 % of the clips, lines the middle 90 %, dots the median."
        ),
        data=attention_entropy_data,
        draw=_draw_attention_entropy,
        alt_text=_describe_attention_entropy,
    ),
    FigureSpec(
        name="head_agreement",
        folder=FOLDER,
        title="Agreement between heads",
        caption=(
            "Agreement is 1 minus the Jensen-Shannon distance between the weights of two heads, "
            "averaged over clips and queries (1: equal attention, 0: no common key). The number "
            "above a matrix is the mean over pairs. Heads with an agreement of 1 are redundant."
        ),
        data=head_agreement_data,
        draw=_draw_head_agreement,
        alt_text=_describe_head_agreement,
    ),
)
