"""Faithfulness of attention, measured by deletion curves.

Shapes: P points of a curve, R repetitions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import number
from pipeline.figures.attention.grid import FOLDER, check_attention, stream_name
from pipeline.figures.base.layout import LineStyle, build_panels, describe_clips, line_handle
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import ACCENTS, MUTED, Style
from pipeline.records.attention import AttentionMeasurements, DeletionCurves

_RANKING_NAMES: Final = {"traits": "weight", "rollout": "rollout"}
_ENDS: Final = {"top": "highest", "bottom": "lowest"}
_LINES: Final[Mapping[str, LineStyle]] = {"top": "-", "bottom": "--"}
_COLOURS: Final = {"traits": ACCENTS[1], "rollout": ACCENTS[0]}

StreamCurves: TypeAlias = tuple[tuple[str, DeletionCurves], ...]
"""One pair per stream: display name of the stream, and deletion curves."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Faithfulness:
    """Deletion curves of all streams."""

    sample: str
    """Measured clips."""
    streams: StreamCurves


def faithfulness_data(attention: AttentionMeasurements) -> Faithfulness:
    """Return the deletion curves per stream."""
    check_attention(attention)
    if not attention.deletions:
        reasons = dict.fromkeys(reason.removesuffix(".") for reason in attention.missing.values())
        raise NothingToDraw(f"{'; '.join(reasons) or 'deletion was not measured'}.")
    num_clips = max(curves.num_clips for curves in attention.deletions.values())
    return Faithfulness(
        sample=describe_clips(num_clips, attention.split),
        streams=tuple(
            (stream_name(attention, stream), curves)
            for stream, curves in attention.deletions.items()
        ),
    )


def _draw_faithfulness(data: Faithfulness, style: Style) -> Figure:
    has_error = all(curves.error for _, curves in data.streams)
    columns = 1 + has_error
    figure, panels = build_panels(
        style,
        title="Score change if steps are hidden, by order of hiding",
        sample=data.sample,
        num_panels=len(data.streams) * columns,
        columns=columns,
        aspect=0.5,
        legend=deletion_handles(data.streams),
    )
    for row, (steps, curves) in enumerate(data.streams):
        draw_score_change(panels[row * columns], steps, curves)
        if has_error:
            axes = panels[row * columns + 1]
            _draw_curves(axes, steps, curves.hidden_share, curves.error)
            axes.set_ylabel("MAE (score units)")
    return figure


def draw_score_change(axes: Axes, steps: str, curves: DeletionCurves) -> None:
    """Draw the score change over the fraction of hidden time steps.

    `steps` is the name of the time steps in the axis label.
    """
    _draw_curves(axes, steps, curves.hidden_share, curves.movement)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("mean |Δ score|")


def _describe_faithfulness(data: Faithfulness) -> str:
    parts = []
    for steps, curves in data.streams:
        areas = ", ".join(
            f"{_curve_name(curve)} {number(curves.area(curve))}" for curve in curves.movement
        )
        parts.append(f"{steps} of {curves.num_clips} clips ({curves.hidden_by}): {areas}")
    return (
        "Mean score change over all shares of hidden steps, by order of hiding: "
        f"{'; '.join(parts)}."
    )


def deletion_handles(data: StreamCurves) -> list[Line2D]:
    """Return the legend entries of the deletion curves."""
    _, curves = data[0]
    return [line_handle(_curve_name(curve), *_line_format(curve)) for curve in curves.movement]


def _draw_curves(
    axes: Axes, steps: str, shares: FloatArray, curves: Mapping[str, FloatArray]
) -> None:
    width = float(mpl.rcParams["lines.linewidth"])
    for name, values in curves.items():
        colour, line = _line_format(name)
        # If two curves coincide, both are visible: the wide line is behind the thin line.
        linewidth = 2.5 * width if name.startswith("traits/") else width
        axes.plot(shares, values.mean(axis=0), line, color=colour, linewidth=linewidth)
        if len(values) > 1:
            axes.fill_between(
                shares, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.25, lw=0
            )
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.locator_params(axis="y", nbins=5)
    axes.set_xlabel(f"{steps} hidden")


def _line_format(curve: str) -> tuple[str, LineStyle]:
    ranking, _, end = curve.rpartition("/")
    return _COLOURS.get(ranking, MUTED), _LINES.get(end, ":")


def _curve_name(curve: str) -> str:
    ranking, _, end = curve.rpartition("/")
    return f"{_ENDS[end]} {_RANKING_NAMES[ranking]}" if ranking else curve


FIGURE: Final = FigureSpec(
    name="attention_faithfulness",
    folder=FOLDER,
    title="Does attention show which steps determine the scores?",
    caption=(
        "Steps are hidden in three orders: highest rank first, lowest rank first, and random "
        "(line: mean of the repetitions, band: range). If attention is faithful, the scores "
        "change most if the highest ranks are hidden first. Ranks are based on the attention "
        "weights of the traits, or on attention rollout through the blocks."
    ),
    data=faithfulness_data,
    draw=_draw_faithfulness,
    alt_text=_describe_faithfulness,
)
