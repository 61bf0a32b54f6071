"""Evaluation of one model: every metric with its interval, beside the baselines.

Shapes: N clips, K = 5 traits.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import PipelineError, RunError
from pipeline.evaluation.intervals.bootstrap import cluster_bootstrap, paired_differences
from pipeline.records.evaluation import Coverage, EvaluationReport, Overlap, Scores, Subgroup
from pipeline.records.predictions import Predictions

MISSING: Final = "(missing)"
"""Value of the clips that have no value in a column."""

MAX_VALUES: Final = 50
"""Most distinct values of a column that scores can be grouped by."""


def build_report(
    predictions: Predictions,
    baseline_predictions: Mapping[str, FloatArray],
    *,
    split: str,
    by: Mapping[str, Sequence[Any]] | None = None,
    group_overlap: Mapping[str, Overlap] | None = None,
    intervals: Coverage | None = None,
    num_resamples: int,
    confidence: float = 0.95,
    seed: int,
) -> EvaluationReport:
    """Score predictions and baselines on the same clips and the same resampled groups.

    Args:
        predictions: The predictions of the model, with the annotated scores.
        baseline_predictions: Name of the baseline -> its scores, shape (N, 5).
        split: Name of the split.
        by: Column -> its value for each of the N clips; the metrics are grouped by it. None,
            NaN and "" count as the value "(missing)".
        group_overlap: Groups that the split shares with the training clips.
        intervals: Coverage of the prediction intervals.
        num_resamples: Number of resamples of each interval.
        confidence: Share of the resamples that each interval holds, in (0, 1).
        seed: Seed of the experiment.

    Raises:
        PipelineError: If the annotated scores are unknown, or a column has more than
            50 distinct values.
        ValueError: If a baseline or a column does not have one row per clip.
    """
    y_true = predictions.y_true
    if y_true is None:
        raise RunError(
            f"the {split} predictions have no annotated scores to compare with. "
            "Evaluate on a feature set that has labels.npy."
        )
    groups = np.asarray(predictions.groups, dtype=np.str_)
    draws: Any = {"num_resamples": num_resamples, "confidence": confidence, "seed": seed}

    def score(y_pred: FloatArray, rows: Any = slice(None)) -> Scores:
        return cluster_bootstrap(y_true[rows], y_pred[rows], groups[rows], **draws)

    def difference(baseline: FloatArray) -> Scores:
        return paired_differences(y_true, baseline, predictions.y_pred, groups, **draws)

    def subgroup(rows: Any) -> Subgroup:
        return Subgroup(
            num_clips=int(rows.sum()),
            num_groups=len(set(groups[rows])),
            metrics=score(predictions.y_pred, rows),
        )

    return EvaluationReport(
        split=split,
        num_clips=len(groups),
        num_groups=len(set(groups)),
        metrics=score(predictions.y_pred),
        baselines=_map_values(score, baseline_predictions),
        baseline_differences=_map_values(difference, baseline_predictions),
        by={
            column: {value: subgroup(names == value) for value in np.unique(names).tolist()}
            for column, names in _columns(by or {}, num_clips=len(groups)).items()
        },
        group_overlap=dict(group_overlap or {}),
        intervals=intervals,
        confidence=confidence,
        num_resamples=num_resamples,
    )


def _columns(by: Mapping[str, Sequence[Any]], *, num_clips: int) -> dict[str, Any]:
    """Return the value of each clip in each column, as arrays of text."""
    columns = {}
    for column, values in by.items():
        if len(values) != num_clips:
            raise ValueError(f"column {column!r} has {len(values)} values for {num_clips} clips")
        names = [MISSING if pd.isna(value) or value == "" else str(value) for value in values]
        check_few_values(column, names)
        columns[column] = np.asarray(names, dtype=np.str_)
    return columns


def check_few_values(column: str, values: Iterable[str]) -> None:
    """Check that scores can be grouped by a column.

    Raises:
        PipelineError: If it has more than 50 distinct values.
    """
    num_values = len(set(values))
    if num_values > MAX_VALUES:
        raise PipelineError(
            f"column {column!r} has {num_values} distinct values, at most {MAX_VALUES} can be "
            "broken down. Bin it first (e.g. ages into ranges), or leave it out."
        )


def _map_values(function: Callable[[Any], Any], mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key: function(value) for key, value in mapping.items()}
