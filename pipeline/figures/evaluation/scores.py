"""What the model scores beside its baselines, with intervals.

Shapes: R rows, the five traits and their mean.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import METRIC_LABELS, metric_value, percent
from pipeline.core.traits import TRAITS
from pipeline.figures.base.layout import build_panels, line_handle, name_rows
from pipeline.figures.base.spec import FigureSpec
from pipeline.figures.base.style import TRAIT_COLOURS, Style, styled
from pipeline.records.evaluation import EvaluationReport, Intervals

ROWS: Final = ("mean", *TRAITS)
"""What is scored, from top to bottom."""

SHOWN_METRICS: Final = ("mae", "r2", "ccc")
"""Metrics that are drawn."""

_MARKERS: Final = "|xdsv^"


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Scores of the model and of the baselines on one split."""

    value: Mapping[str, FloatArray]
    """Metric -> the model's value in each row, shape (R,)."""
    low: Mapping[str, FloatArray]
    """Metric -> lower ends of the intervals, shape (R,); NaN where there is none."""
    high: Mapping[str, FloatArray]
    """Metric -> upper ends of the intervals, shape (R,); NaN where there is none."""
    baselines: Mapping[str, Mapping[str, FloatArray]]
    """Baseline -> metric -> its value in each row, shape (R,)."""
    split: str
    """Name of the split."""
    num_clips: int
    """Clips in it."""
    confidence: float
    """Share of the resamples that an interval holds."""

    @property
    def has_intervals(self) -> bool:
        """Whether there are intervals: resampling one group alone tells nothing."""
        return bool(np.isfinite(self.low["mae"]).any())


def scores_data(evaluation: EvaluationReport) -> Scores:
    """Return the scores of an evaluation.

    Args:
        evaluation: The evaluation of the run.
    """
    return Scores(
        value=ends_of(evaluation.metrics, "value", SHOWN_METRICS),
        low=ends_of(evaluation.metrics, "low", SHOWN_METRICS),
        high=ends_of(evaluation.metrics, "high", SHOWN_METRICS),
        baselines={
            name: ends_of(scores, "value", SHOWN_METRICS)
            for name, scores in evaluation.baselines.items()
        },
        split=evaluation.split,
        num_clips=evaluation.num_clips,
        confidence=evaluation.confidence,
    )


@styled
def draw_scores(data: Scores, style: Style) -> Figure:
    """Draw the model's intervals and the baselines' values, one row a trait."""
    model = f"model, {percent(data.confidence)} interval" if data.has_intervals else "model"
    figure, panels = build_panels(
        style,
        title=f"Scores beside the baselines, {data.num_clips:,} {data.split} clips",
        columns=len(SHOWN_METRICS),
        aspect=1.05,
        outer_left=9.0,
        left=1.4,
        right=1.4,
        legend=[line_handle(model, "#222222", "-", "o"), *_baseline_handles(data)],
    )
    for axes, metric in zip(panels, SHOWN_METRICS, strict=True):
        _draw_metric(axes, data, metric)
    name_rows(panels[0], ROWS)
    return figure


def describe_scores(data: Scores) -> str:
    """Return the mean scores in one sentence."""
    interval = (
        f"{percent(data.confidence)} interval {metric_value('mae', data.low['mae'][0])} "
        f"to {metric_value('mae', data.high['mae'][0])}"
        if data.has_intervals
        else "no interval, as there is one group only"
    )
    baselines = ", ".join(
        f"{name.replace('_', ' ')} {metric_value('mae', values['mae'][0])}"
        for name, values in data.baselines.items()
    )
    return (
        f"On {data.num_clips:,} {data.split} clips the model has a mean MAE of "
        f"{metric_value('mae', data.value['mae'][0])} ({interval}) and a mean CCC of "
        f"{metric_value('ccc', data.value['ccc'][0])}; MAE of the baselines: {baselines or 'none'}."
    )


def ends_of(scores: Intervals, end: str, metrics: Iterable[str]) -> dict[str, FloatArray]:
    """Return metric -> values, or ends of the intervals, of all rows, shape (R,)."""
    return {
        metric: np.array([getattr(scores[metric][row], end) for row in ROWS]) for metric in metrics
    }


def _baseline_handles(data: Scores) -> list[Line2D]:
    return [
        line_handle(name.replace("_", " "), "#555555", "none", marker)
        for name, marker in zip(data.baselines, _MARKERS, strict=False)
    ]


def _draw_metric(axes: Axes, data: Scores, metric: str) -> None:
    rows = np.arange(len(ROWS))
    colours = ["#222222", *(TRAIT_COLOURS[trait] for trait in TRAITS)]
    for values, marker in zip(data.baselines.values(), _MARKERS, strict=False):
        axes.plot(values[metric], rows + 0.3, marker, color="#555555")
    axes.hlines(rows, data.low[metric], data.high[metric], colors=colours, linewidth=2.5)
    for row, colour in enumerate(colours):
        axes.plot(data.value[metric][row], row, "o", color=colour)
    axes.margins(x=0.05)
    name_rows(axes, [""] * len(ROWS))
    axes.set_xlabel(METRIC_LABELS[metric])


FIGURES: Final = (
    FigureSpec(
        name="scores_and_baselines",
        folder="training_visualizations",
        title="Scores beside the baselines",
        caption=(
            "The model's score with its interval, per trait and on average, beside the baselines "
            "on the same clips. Lower is better for the MAE, higher for R² and CCC. The baseline "
            "`same group mean` is what the plainest leak buys: other clips of the same video."
        ),
        needs=("evaluation",),
        data=scores_data,
        draw=draw_scores,
        alt_text=describe_scores,
    ),
)
"""The scores."""
