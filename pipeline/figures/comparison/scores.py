"""The scores of two runs per trait, each with its interval.

Shapes: R rows, the mean over the traits and the five traits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import METRIC_LABELS, METRIC_NAMES, metric_value
from pipeline.figures.base.layout import build_panels, name_rows
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import MUTED, Style, styled
from pipeline.figures.comparison.pair import COLOURS, pair_handles, read_names
from pipeline.figures.evaluation.scores import ROWS, ends_of
from pipeline.metrics.regression import HIGHER_IS_BETTER
from pipeline.records.evaluation import EvaluationReport

SHOWN_METRICS: Final = ("r2", "ccc", "mae")
"""Metrics whose zero means something, so that bars from zero are fair; accuracy is 1 - MAE."""

_BAR_HEIGHT: Final = 0.36


@dataclass(frozen=True, kw_only=True, eq=False)
class ScorePair:
    """The scores of two runs on the same split; the first run's come first."""

    names: tuple[str, str]
    """What the two runs are called."""
    split: str
    """Name of the split."""
    num_clips: int
    """Clips in it."""
    value: tuple[Mapping[str, FloatArray], Mapping[str, FloatArray]]
    """Metric -> value in each row, shape (R,)."""
    low: tuple[Mapping[str, FloatArray], Mapping[str, FloatArray]]
    """Metric -> lower ends of the intervals, shape (R,); NaN where there is none."""
    high: tuple[Mapping[str, FloatArray], Mapping[str, FloatArray]]
    """Metric -> upper ends of the intervals, shape (R,); NaN where there is none."""


def score_pair_data(
    comparison: Mapping[str, Any],
    evaluation_a: EvaluationReport,
    evaluation_b: EvaluationReport,
) -> ScorePair:
    """Return the scores of two runs.

    Args:
        comparison: Content of `Comparison.to_json()`, for the names.
        evaluation_a: The evaluation of the first run.
        evaluation_b: The evaluation of the second run.

    Raises:
        NothingToDraw: If the runs were last evaluated on other clips.
        PipelineError: If the comparison is damaged.
    """
    names = read_names(comparison)
    evaluations = (evaluation_a, evaluation_b)
    samples = [(evaluation.split, evaluation.num_clips) for evaluation in evaluations]
    if samples[0] != samples[1]:
        found = ", ".join(
            f"{name} on {num_clips} {split} clips"
            for name, (split, num_clips) in zip(names, samples, strict=True)
        )
        raise NothingToDraw(f"needs both runs evaluated on one split; found {found}.")
    split, num_clips = samples[0]
    value, low, high = (
        (
            ends_of(evaluation_a.metrics, end, SHOWN_METRICS),
            ends_of(evaluation_b.metrics, end, SHOWN_METRICS),
        )
        for end in ("value", "low", "high")
    )
    return ScorePair(names=names, split=split, num_clips=num_clips, value=value, low=low, high=high)


@styled
def draw_score_pair(data: ScorePair, style: Style) -> Figure:
    """Draw the scores as pairs of bars, one panel a metric."""
    figure, panels = build_panels(
        style,
        title=f"Scores of two runs, {data.num_clips:,} {data.split} clips",
        columns=len(SHOWN_METRICS),
        aspect=1.15,
        outer_left=9.0,
        left=1.2,
        right=1.2,
        bottom=4.2,
        legend=pair_handles(data.names, marker="s"),
    )
    for axes, metric in zip(panels, SHOWN_METRICS, strict=True):
        _draw_panel(axes, data, metric)
        name_rows(axes, ROWS if axes is panels[0] else [""] * len(ROWS))
    return figure


def describe_score_pair(data: ScorePair) -> str:
    """Return the mean scores of two runs in one sentence."""
    told = [
        f"{name} "
        + ", ".join(f"{METRIC_NAMES[m]} {metric_value(m, value[m][0])}" for m in SHOWN_METRICS)
        for name, value in zip(data.names, data.value, strict=True)
    ]
    return f"Mean over the traits on {data.num_clips:,} {data.split} clips: {told[0]}; {told[1]}."


def _draw_panel(axes: Axes, data: ScorePair, metric: str) -> None:
    for run, colour in enumerate(COLOURS):
        rows = np.arange(len(ROWS)) + (run - 0.5) * _BAR_HEIGHT
        axes.barh(rows, data.value[run][metric], height=_BAR_HEIGHT, color=colour, alpha=0.75)
        axes.hlines(rows, data.low[run][metric], data.high[run][metric], colors="#222222")
    axes.axvline(0, color=MUTED, linewidth=1.0)
    axes.axhline(0.5, color=MUTED, linewidth=0.5)  # the mean is not one more trait
    better = "longer" if HIGHER_IS_BETTER[metric] else "shorter"
    axes.set_title(f"{better} is better", loc="right", color="#555555")
    axes.set_xlabel(METRIC_LABELS[metric])


FIGURES: Final = (
    FigureSpec(
        name="trait_scores",
        folder="comparison",
        title="Scores of both runs per trait",
        caption=(
            "Each run's own score with its interval, on average and per trait. Intervals that "
            "overlap do not show that the runs are alike: the paired differences decide that."
        ),
        needs=("comparison", "evaluation_a", "evaluation_b"),
        data=score_pair_data,
        draw=draw_score_pair,
        alt_text=describe_score_pair,
    ),
)
"""The scores."""
