"""Whether attention tells what decides the scores: deletion curves.

Shapes: P points of a curve, R draws.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import number
from pipeline.figures.attention.wording import (
    FOLDER,
    RANKING_NAMES,
    require_attention,
    stream_name,
)
from pipeline.figures.base.layout import LineStyle, build_panels, line_handle
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import ACCENTS, MUTED, Style, styled
from pipeline.records.attention import AttentionMeasurements, DeletionCurves

_ENDS: Final = {"top": "highest", "bottom": "lowest"}
_LINES: Final[Mapping[str, LineStyle]] = {"top": "-", "bottom": "--"}
_COLOURS: Final = {"traits": ACCENTS[1], "rollout": ACCENTS[0]}


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamFaithfulness:
    """What hiding the steps of one stream does."""

    name: str
    """What the steps are called."""
    curves: DeletionCurves
    """The curves."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Faithfulness:
    """What hiding steps does, by stream."""

    streams: tuple[StreamFaithfulness, ...]

    @property
    def has_error(self) -> bool:
        """Whether labels tell how the error grows."""
        return all(stream.curves.error for stream in self.streams)


def faithfulness_data(attention: AttentionMeasurements) -> Faithfulness:
    """Return the deletion curves."""
    require_attention(attention)
    if not attention.deletions:
        reasons = dict.fromkeys(reason.removesuffix(".") for reason in attention.missing.values())
        raise NothingToDraw(f"{'; '.join(reasons) or 'hiding steps was not measured'}.")
    return Faithfulness(
        streams=tuple(
            StreamFaithfulness(name=stream_name(attention, stream), curves=curves)
            for stream, curves in attention.deletions.items()
        )
    )


@styled
def draw_faithfulness(data: Faithfulness, style: Style) -> Figure:
    """Draw the deletion curves: a row a stream; how far the scores move, and how they err."""
    columns = 1 + data.has_error
    figure, panels = build_panels(
        style,
        title="How the scores change as steps are hidden, by what goes first",
        rows=len(data.streams),
        columns=columns,
        aspect=0.5,
        width="full",
        legend=curve_handles(data.streams[0].curves),
        left=6.2,
    )
    for row, stream in enumerate(data.streams):
        draw_movement(panels[row * columns], stream)
        if data.has_error:
            _draw_error(panels[row * columns + 1], stream)
    return figure


def draw_movement(axes: Axes, stream: StreamFaithfulness) -> None:
    """Draw how far the scores move into a panel."""
    _draw_curves(axes, stream.curves.hidden_share, stream.curves.movement)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"{stream.name} hidden")
    axes.set_ylabel("mean |Δ score|")


def describe_faithfulness(data: Faithfulness) -> str:
    """Return the mean movement under each curve in one sentence."""
    parts = []
    for stream in data.streams:
        areas = ", ".join(
            f"{_curve_name(curve)} {number(stream.curves.area(curve))}"
            for curve in stream.curves.movement
        )
        parts.append(
            f"{stream.name} of {stream.curves.num_clips} clips, {stream.curves.hidden_by}: {areas}"
        )
    return (
        "Mean movement of the scores while more and more steps are hidden, by what goes first: "
        f"{'; '.join(parts)}."
    )


def _draw_error(axes: Axes, stream: StreamFaithfulness) -> None:
    _draw_curves(axes, stream.curves.hidden_share, stream.curves.error)
    axes.set_xlabel(f"{stream.name} hidden")
    axes.set_ylabel("MAE (score units)")


def _draw_curves(axes: Axes, shares: FloatArray, curves: Mapping[str, FloatArray]) -> None:
    for name, values in curves.items():
        colour, line = _look(name)
        axes.plot(shares, values.mean(axis=0), line, color=colour, linewidth=_width(name))
        if len(values) > 1:
            axes.fill_between(
                shares, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.25, lw=0
            )
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.locator_params(axis="y", nbins=5)


def _look(curve: str) -> tuple[str, LineStyle]:
    """Return the colour and the line style of a curve."""
    ranking, _, end = curve.rpartition("/")
    return _COLOURS.get(ranking, MUTED), _LINES.get(end, ":")


def _width(curve: str) -> float:
    """Return the width of a line; the wider one shows from under the other where both agree."""
    width = float(mpl.rcParams["lines.linewidth"])
    return 2.5 * width if curve.startswith("traits/") else width


def _curve_name(curve: str) -> str:
    ranking, _, end = curve.rpartition("/")
    return f"{_ENDS[end]} {RANKING_NAMES[ranking]}" if ranking else curve


def curve_handles(curves: DeletionCurves) -> list[Line2D]:
    """Return the legend's lines."""
    return [line_handle(_curve_name(curve), *_look(curve)) for curve in curves.movement]


FIGURES: Final = (
    FigureSpec(
        name="attention_faithfulness",
        folder=FOLDER,
        title="Does attention tell what decides the scores?",
        caption=(
            "Steps are hidden in the order of their rank, in the reverse order, and at random "
            "(mean and range of the draws). Where attention is faithful, hiding the highest ranked "
            "moves the scores at once, and hiding the lowest hardly does. Ranked by the weights "
            "of the traits, and by the same followed back through the blocks (rollout)."
        ),
        needs=("attention",),
        data=faithfulness_data,
        draw=draw_faithfulness,
        alt_text=describe_faithfulness,
    ),
)
"""The deletion curves."""
