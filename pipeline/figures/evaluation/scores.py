"""Scores of the model and of the baselines, with intervals.

Shapes: R rows, the mean over the traits and the five traits.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import METRIC_LABELS, metric_value, percent
from pipeline.core.traits import TRAITS
from pipeline.figures.base.layout import build_panels, line_handle, name_rows
from pipeline.figures.base.spec import FigureSpec
from pipeline.figures.base.style import TRAIT_COLOURS, Style
from pipeline.records.evaluation import EvaluationReport, Intervals

ROWS: Final = ("mean", *TRAITS)
"""Names of the rows, from top to bottom."""

_METRICS: Final = ("mae", "r2", "ccc")
_MARKERS: Final = "|xdsv^"


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Scores of the model and of the baselines on one split."""

    model: Mapping[str, FloatArray]
    """Metric -> scores of the model, shape (3, R) as from `interval_rows`."""
    baselines: Mapping[str, Mapping[str, FloatArray]]
    """Baseline -> metric -> scores, shape (3, R)."""
    split: str
    """Name of the split."""
    num_clips: int
    """Number of clips."""
    confidence: float
    """Share of the resamples inside each interval, in (0, 1)."""

    @property
    def has_intervals(self) -> bool:
        """Whether there are intervals; a single group has no interval."""
        return bool(np.isfinite(self.model["mae"][1]).any())


def interval_rows(intervals: Intervals, metrics: Iterable[str]) -> dict[str, FloatArray]:
    """Return the values, lower ends and upper ends of each metric, shape (3, R).

    An end is NaN if there is no interval.
    """
    return {
        metric: np.array([dataclasses.astuple(intervals[metric][row]) for row in ROWS]).T
        for metric in metrics
    }


def _scores_data(evaluation: EvaluationReport) -> Scores:
    return Scores(
        model=interval_rows(evaluation.metrics, _METRICS),
        baselines={
            name: interval_rows(scores, _METRICS) for name, scores in evaluation.baselines.items()
        },
        split=evaluation.split,
        num_clips=evaluation.num_clips,
        confidence=evaluation.confidence,
    )


def _draw_scores(data: Scores, style: Style) -> Figure:
    model = f"model, {percent(data.confidence)} interval" if data.has_intervals else "model"
    baselines = [
        line_handle(name.replace("_", " "), "#555555", "none", marker)
        for name, marker in zip(data.baselines, _MARKERS, strict=False)
    ]
    figure, panels = build_panels(
        style,
        title=f"Scores of model and baselines, {data.num_clips:,} {data.split} clips",
        columns=len(_METRICS),
        aspect=1.05,
        outer_left=9.0,
        left=1.4,
        right=1.4,
        legend=[line_handle(model, "#222222", "-", "o"), *baselines],
    )
    for axes, metric in zip(panels, _METRICS, strict=True):
        _draw_metric(axes, data, metric)
    name_rows(panels[0], ROWS)
    return figure


def _describe_scores(data: Scores) -> str:
    mae, low, high = (metric_value("mae", end[0]) for end in data.model["mae"])
    ccc = metric_value("ccc", data.model["ccc"][0, 0])
    interval = (
        f"{percent(data.confidence)} interval {low} to {high}"
        if data.has_intervals
        else "no interval, because there is only one group"
    )
    baselines = ", ".join(
        f"{name.replace('_', ' ')} {metric_value('mae', scores['mae'][0, 0])}"
        for name, scores in data.baselines.items()
    )
    return (
        f"On {data.num_clips:,} {data.split} clips the model has a mean MAE of {mae} ({interval}) "
        f"and a mean CCC of {ccc}; MAE of the baselines: {baselines or 'none'}."
    )


def _draw_metric(axes: Axes, data: Scores, metric: str) -> None:
    rows = np.arange(len(ROWS))
    colours = ["#222222", *(TRAIT_COLOURS[trait] for trait in TRAITS)]
    for scores, marker in zip(data.baselines.values(), _MARKERS, strict=False):
        axes.plot(scores[metric][0], rows + 0.3, marker, color="#555555")
    values, low, high = data.model[metric]
    axes.hlines(rows, low, high, colors=colours, linewidth=2.5)
    for row, colour in enumerate(colours):
        axes.plot(values[row], row, "o", color=colour)
    axes.margins(x=0.05)
    name_rows(axes, [""] * len(ROWS))
    axes.set_xlabel(METRIC_LABELS[metric])


FIGURES: Final = (
    FigureSpec(
        name="scores_and_baselines",
        folder="training_visualizations",
        title="Scores of model and baselines",
        caption=(
            "Score of the model with its interval, and scores of the baselines on the same clips, "
            "on average and per trait. Lower is better for the MAE, higher for R² and CCC. The "
            "baseline `same group mean` predicts the mean of other clips of the same video. It "
            "shows the score that a simple group leak would give."
        ),
        data=_scores_data,
        draw=_draw_scores,
        alt_text=_describe_scores,
    ),
)
