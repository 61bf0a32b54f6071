"""Metrics of the model and of the baselines, with confidence intervals.

Shapes: R = K + 1 rows (mean over the traits, and the K traits).
"""

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import METRIC_LABELS, metric_value, percent
from pipeline.figures.base.layout import (
    build_panels,
    describe_clips,
    line_handle,
    name_rows,
    names_em,
    set_note,
)
from pipeline.figures.base.spec import FigureSpec
from pipeline.figures.base.style import MUTED, Style, trait_colours
from pipeline.metrics.regression import HIGHER_IS_BETTER
from pipeline.records.evaluation import EvaluationReport, Intervals, trait_names

_METRICS: Final = ("mae", "r2", "ccc")
_MARKERS: Final = "s^DvoP"
_BASELINE_COLOUR: Final = "#777777"


def row_names(intervals: Intervals) -> tuple[str, ...]:
    """Return the names of the rows, from top to bottom."""
    return ("mean", *trait_names(intervals))


def interval_rows(intervals: Intervals, metric: str, rows: Sequence[str]) -> FloatArray:
    """Return values, lower ends and upper ends of intervals, shape (3, R). Unknown ends are NaN."""
    return np.array([dataclasses.astuple(intervals[metric][row]) for row in rows]).T


def _draw_scores(data: EvaluationReport, style: Style) -> Figure:
    has_interval = data.metrics["mae"]["mean"].exists
    model = f"model, {percent(data.confidence)} interval" if has_interval else "model"
    baselines = [
        line_handle(name.replace("_", " "), _BASELINE_COLOUR, "none", marker)
        for name, marker in zip(data.baselines, _MARKERS, strict=False)
    ]
    for handle in baselines:
        handle.set_markerfacecolor("white")
    figure, panels = build_panels(
        style,
        title="Scores of model and baselines",
        sample=describe_clips(data.num_clips, data.split),
        num_panels=len(_METRICS),
        aspect=1.05,
        outer_left=names_em(data.trait_names),
        left=1.4,
        right=1.4,
        legend=[line_handle(model, "#222222", "-", "o"), *baselines],
    )
    for axes, metric in zip(panels, _METRICS, strict=True):
        _draw_metric(axes, data, metric)
    name_rows(panels[0], row_names(data.metrics))
    return figure


def _draw_metric(axes: Axes, data: EvaluationReport, metric: str) -> None:
    names = row_names(data.metrics)
    rows = np.arange(len(names))
    colours = ["#222222", *trait_colours(data.trait_names)]
    for scores, marker in zip(data.baselines.values(), _MARKERS, strict=False):
        values, *_ = interval_rows(scores, metric, names)
        axes.plot(values, rows + 0.3, marker, color=_BASELINE_COLOUR, mfc="white", mew=1.2, ms=5.5)
    values, low, high = interval_rows(data.metrics, metric, names)
    axes.hlines(rows, low, high, colors=colours, linewidth=2.5)
    for row, colour in enumerate(colours):
        axes.plot(values[row], row, "o", color=colour)
    axes.margins(x=0.05)
    name_rows(axes, [""] * len(names))
    axes.axhline(0.65, color=MUTED, linewidth=0.5)  # separates the mean from the traits
    set_note(axes, "higher is better →" if HIGHER_IS_BETTER[metric] else "← lower is better")
    axes.set_xlabel(METRIC_LABELS[metric])


def _describe_scores(data: EvaluationReport) -> str:
    mae = data.metrics["mae"]["mean"]
    value, low, high = (metric_value("mae", end) for end in (mae.value, mae.low, mae.high))
    ccc = metric_value("ccc", data.metrics["ccc"]["mean"].value)
    interval = "no interval, because there is only one group"
    if mae.exists:
        interval = f"{percent(data.confidence)} interval {low} to {high}"
    baselines = ", ".join(
        f"{name.replace('_', ' ')} {metric_value('mae', scores['mae']['mean'].value)}"
        for name, scores in data.baselines.items()
    )
    return (
        f"On {describe_clips(data.num_clips, data.split)} the model has a mean MAE of {value} "
        f"({interval}) and a mean CCC of {ccc}; MAE of the baselines: {baselines or 'none'}."
    )


FIGURE: Final = FigureSpec(
    name="scores_and_baselines",
    title="Scores of model and baselines",
    caption=(
        "Score of the model with its interval, and scores of the baselines on the same clips, "
        "on average and per trait. Lower is better for the MAE, higher for R² and CCC. If groups "
        "have several clips, the baseline `same group mean` predicts the mean annotation of the "
        "other clips of the group. It shows the score that a simple group leak would give."
    ),
    data=lambda evaluation: evaluation,
    draw=_draw_scores,
    alt_text=_describe_scores,
)
