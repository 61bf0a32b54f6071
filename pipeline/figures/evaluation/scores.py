"""Scores of the model and of the baselines, with intervals.

Shapes: R rows, the mean over the traits and the five traits.
"""

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
from pipeline.figures.base.style import TRAIT_COLOURS, Style, styled
from pipeline.records.evaluation import EvaluationReport, Intervals

ROWS: Final = ("mean", *TRAITS)
"""Names of the rows, from top to bottom."""

_METRICS: Final = ("mae", "r2", "ccc")
_MARKERS: Final = "|xdsv^"


@dataclass(frozen=True, kw_only=True, eq=False)
class IntervalRows:
    """Values and intervals in all rows, by metric."""

    value: Mapping[str, FloatArray]
    """Metric -> values, shape (R,)."""
    low: Mapping[str, FloatArray]
    """Metric -> lower ends of the intervals, shape (R,); NaN if there is no interval."""
    high: Mapping[str, FloatArray]
    """Metric -> upper ends of the intervals, shape (R,); NaN if there is no interval."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Scores of the model and of the baselines on one split."""

    model: IntervalRows
    """Scores of the model."""
    baselines: Mapping[str, Mapping[str, FloatArray]]
    """Baseline -> metric -> values, shape (R,)."""
    split: str
    """Name of the split."""
    num_clips: int
    """Number of clips."""
    confidence: float
    """Share of the resamples inside each interval, in (0, 1)."""

    @property
    def has_intervals(self) -> bool:
        """Whether there are intervals; a single group has no interval."""
        return bool(np.isfinite(self.model.low["mae"]).any())


def interval_rows(intervals: Intervals, metrics: Iterable[str]) -> IntervalRows:
    """Return the intervals of some metrics as arrays, shape (R,)."""
    metrics = tuple(metrics)
    value, low, high = (
        {m: np.array([getattr(intervals[m][row], end) for row in ROWS]) for m in metrics}
        for end in ("value", "low", "high")
    )
    return IntervalRows(value=value, low=low, high=high)


def _scores_data(evaluation: EvaluationReport) -> Scores:
    return Scores(
        model=interval_rows(evaluation.metrics, _METRICS),
        baselines={
            name: interval_rows(scores, _METRICS).value
            for name, scores in evaluation.baselines.items()
        },
        split=evaluation.split,
        num_clips=evaluation.num_clips,
        confidence=evaluation.confidence,
    )


@styled
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
    value, low, high = (
        {metric: metric_value(metric, values[metric][0]) for metric in _METRICS}
        for values in (data.model.value, data.model.low, data.model.high)
    )
    interval = (
        f"{percent(data.confidence)} interval {low['mae']} to {high['mae']}"
        if data.has_intervals
        else "no interval, because there is only one group"
    )
    baselines = ", ".join(
        f"{name.replace('_', ' ')} {metric_value('mae', values['mae'][0])}"
        for name, values in data.baselines.items()
    )
    return (
        f"On {data.num_clips:,} {data.split} clips the model has a mean MAE of {value['mae']} "
        f"({interval}) and a mean CCC of {value['ccc']}; MAE of the baselines: "
        f"{baselines or 'none'}."
    )


def _draw_metric(axes: Axes, data: Scores, metric: str) -> None:
    rows = np.arange(len(ROWS))
    colours = ["#222222", *(TRAIT_COLOURS[trait] for trait in TRAITS)]
    for values, marker in zip(data.baselines.values(), _MARKERS, strict=False):
        axes.plot(values[metric], rows + 0.3, marker, color="#555555")
    model = data.model
    axes.hlines(rows, model.low[metric], model.high[metric], colors=colours, linewidth=2.5)
    for row, colour in enumerate(colours):
        axes.plot(model.value[metric][row], row, "o", color=colour)
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
