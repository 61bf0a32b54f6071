"""Figure that compares several runs with the first: differences with intervals, per metric.

Shapes: C comparisons.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from pipeline.core.number_format import METRIC_NAMES, metric_differences, percent
from pipeline.figures.base.layout import (
    build_panels,
    line_handle,
    name_rows,
    names_em,
    set_note,
)
from pipeline.figures.base.spec import FigureSpec
from pipeline.figures.base.style import MUTED, Style
from pipeline.figures.comparison import (
    COLOURS,
    UNDECIDED_COLOUR,
    ComparedRuns,
    centre_on_zero,
    shorten_run_name,
)
from pipeline.metrics.regression import HIGHER_IS_BETTER, METRICS
from pipeline.records.typed_json import check_content


def _data(comparisons: Sequence[Mapping[str, Any]]) -> tuple[ComparedRuns, ...]:
    return tuple(check_content(ComparedRuns, comparison) for comparison in comparisons)


def _draw(data: tuple[ComparedRuns, ...], style: Style) -> Figure:
    first = data[0]
    reference = first.labels[0]
    names = [f"{each.labels[1]}: {shorten_run_name(each.names[1])}" for each in data]
    interval = f"{percent(first.confidence, 1)} interval"
    figure, panels = build_panels(
        style,
        title=f"Differences from {reference} ({shorten_run_name(first.names[0])})",
        sample=first.clips,
        num_panels=len(METRICS),
        columns=3,
        aspect=min(1.6, 0.12 * len(data) + 0.15),
        outer_left=names_em(names),
        left=1.2,
        right=1.2,
        bottom=4.2,
        top=2.4,
        legend=[
            line_handle(f"{reference} is better", COLOURS[0], "-", "o"),
            line_handle("the other run is better", COLOURS[1], "-", "o"),
            line_handle(f"{interval} contains 0", UNDECIDED_COLOUR, "-", "o"),
        ],
    )
    rows = np.arange(len(data))
    for position, (axes, metric) in enumerate(zip(panels, METRICS, strict=True)):
        means = [each.differences[metric]["mean"] for each in data]
        winners = [each.winners(metric)[0] for each in data]
        colours = [UNDECIDED_COLOUR if run is None else COLOURS[run] for run in winners]
        values, low, high = (
            np.array([getattr(mean, end) for mean in means]) for end in ("value", "low", "high")
        )
        axes.axvline(0, color=MUTED, linewidth=1.0)
        axes.hlines(rows, low, high, colors=colours, linewidth=2.5)
        axes.scatter(values, rows, c=colours, s=36, zorder=3)
        set_note(axes, f"{'higher' if HIGHER_IS_BETTER[metric] else 'lower'} is better")
        axes.set_xlabel(f"{METRIC_NAMES[metric]} minus {METRIC_NAMES[metric]} of {reference}")
        name_rows(axes, names if position % 3 == 0 else [""] * len(names))
        centre_on_zero(axes, 1.15 * float(np.nanmax(np.abs([values, low, high]))) or 1.0)
    return figure


def _describe(data: tuple[ComparedRuns, ...]) -> str:
    parts = []
    for each in data:
        winner = each.winners("mae")[0]
        verdict = "undecided" if winner is None else f"{each.labels[winner]} is better"
        (difference,) = metric_differences("mae", each.differences["mae"]["mean"].value)
        parts.append(f"{each.labels[1]} ({each.names[1]}) {difference} ({verdict})")
    return (
        f"MAE minus the MAE of {data[0].labels[0]} ({data[0].names[0]}) on "
        f"{data[0].clips}, mean over the traits: {', '.join(parts)}."
    )


FIGURE: Final = FigureSpec(
    name="differences_from_first",
    folder="comparison",
    title="Differences from the first run",
    caption=(
        "Each run minus the first run, mean over the traits, with paired cluster-bootstrap "
        "intervals. All intervals of one metric hold together with 95 % confidence (Bonferroni "
        "correction). A dark grey interval contains 0, so it does not show a difference."
    ),
    data=_data,
    draw=_draw,
    alt_text=_describe,
)
