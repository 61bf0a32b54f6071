"""One evaluation as data: every metric with its interval, beside its baselines.

Shapes: N clips, K = 5 traits.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import PipelineError, RunError
from pipeline.core.files import read_json, write_json
from pipeline.evaluation.coverage import Coverage
from pipeline.evaluation.intervals import (
    Interval,
    Intervals,
    cluster_bootstrap,
    paired_differences,
)
from pipeline.evaluation.predictions import Predictions

MISSING: Final = "(missing)"
"""The value under which clips stand that have none in a column."""

MAX_VALUES: Final = 50
"""Distinct values of a column that are still a breakdown, and not a list of clips."""


@dataclass(frozen=True, kw_only=True)
class Subset:
    """The metrics of the clips that share one value of a column."""

    num_clips: int
    """Number of clips."""

    num_groups: int
    """Number of groups among them."""

    metrics: Intervals
    """Metric -> trait name or "mean" -> interval."""

    def to_json(self) -> dict[str, Any]:
        """Return the subset as JSON values."""
        return {
            "num_clips": self.num_clips,
            "num_groups": self.num_groups,
            "metrics": _intervals_to_json(self.metrics),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Subset":
        """Return the subset that `to_json` described."""
        return cls(
            num_clips=value["num_clips"],
            num_groups=value["num_groups"],
            metrics=_intervals_from_json(value["metrics"]),
        )


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """What one model scores on one split, and what the baselines score there."""

    split: str
    """Name of the split, e.g. "test"."""

    num_clips: int
    """Number of clips."""

    num_groups: int
    """Number of groups; whole groups were resampled for the intervals."""

    metrics: Intervals
    """Metric -> trait name or "mean" -> interval."""

    baselines: Mapping[str, Intervals]
    """Name of the baseline -> the same, on the same clips and resamples."""

    baseline_differences: Mapping[str, Intervals] = field(default_factory=dict)
    """Name of the baseline -> the model minus it, paired on these resamples."""

    by: Mapping[str, Mapping[str, Subset]] = field(default_factory=dict)
    """Column -> value -> the metrics of the clips with that value."""

    group_overlap: Mapping[str, Any] = field(default_factory=dict)
    """What the split shares with the training clips, in JSON values."""

    intervals: Coverage | None = None
    """How often the prediction intervals held the annotated score; None where not measured."""

    confidence: float = 0.95
    """Share of the resamples that each interval holds."""

    num_resamples: int
    """Number of resamples of each interval."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values; an interval that does not exist has null ends."""
        return {
            "split": self.split,
            "num_clips": self.num_clips,
            "num_groups": self.num_groups,
            "metrics": _intervals_to_json(self.metrics),
            "baselines": _map_values(_intervals_to_json, self.baselines),
            "baseline_differences": _map_values(_intervals_to_json, self.baseline_differences),
            "by": {
                column: _map_values(Subset.to_json, subsets) for column, subsets in self.by.items()
            },
            "group_overlap": dict(self.group_overlap),
            "intervals": self.intervals.to_json() if self.intervals else None,
            "confidence": self.confidence,
            "num_resamples": self.num_resamples,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "EvaluationReport":
        """Return the report that `to_json` described."""
        return cls(
            split=value["split"],
            num_clips=value["num_clips"],
            num_groups=value["num_groups"],
            metrics=_intervals_from_json(value["metrics"]),
            baselines=_map_values(_intervals_from_json, value["baselines"]),
            baseline_differences=_map_values(
                _intervals_from_json, value.get("baseline_differences") or {}
            ),
            by={
                column: _map_values(Subset.from_json, subsets)
                for column, subsets in value["by"].items()
            },
            group_overlap=value["group_overlap"],
            intervals=Coverage.from_json(value["intervals"]) if value.get("intervals") else None,
            confidence=value["confidence"],
            num_resamples=value["num_resamples"],
        )


def build_report(
    predictions: Predictions,
    baseline_predictions: Mapping[str, FloatArray],
    *,
    split: str,
    by: Mapping[str, Sequence[Any]] | None = None,
    group_overlap: Mapping[str, Any] | None = None,
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
        by: Column -> its value for each of the N clips; the metrics are broken down by
            it. None, NaN and "" count as the value "(missing)".
        group_overlap: What the split shares with the training clips, in JSON values.
        intervals: How often the prediction intervals held the annotated scores.
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

    def score(y_pred: FloatArray, rows: Any = slice(None)) -> Intervals:
        return cluster_bootstrap(y_true[rows], y_pred[rows], groups[rows], **draws)

    def difference(baseline: FloatArray) -> Intervals:
        return paired_differences(y_true, baseline, predictions.y_pred, groups, **draws)

    def subset(rows: Any) -> Subset:
        return Subset(
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
            column: {value: subset(names == value) for value in np.unique(names).tolist()}
            for column, names in _columns(by or {}, num_clips=len(groups)).items()
        },
        group_overlap=group_overlap or {},
        intervals=intervals,
        confidence=confidence,
        num_resamples=num_resamples,
    )


def write_report(path: Path, report: EvaluationReport) -> None:
    """Write a report as JSON, atomically."""
    write_json(path, report.to_json())


def read_report(path: Path) -> EvaluationReport:
    """Read a report that `write_report` wrote.

    Raises:
        PipelineError: If the file is missing or is not such a report.
    """
    value = read_json(path)
    try:
        return EvaluationReport.from_json(value)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{path}: is not an evaluation report ({type(error).__name__}: {error}). "
            "Evaluate the run again."
        ) from error


def _columns(by: Mapping[str, Sequence[Any]], *, num_clips: int) -> dict[str, Any]:
    """Return the value of each clip in each column, as arrays of names."""
    columns = {}
    for column, values in by.items():
        if len(values) != num_clips:
            raise ValueError(f"column {column!r} has {len(values)} values for {num_clips} clips")
        names = [MISSING if pd.isna(value) or value == "" else str(value) for value in values]
        refuse_many_values(column, names)
        columns[column] = np.asarray(names, dtype=np.str_)
    return columns


def refuse_many_values(column: str, values: Iterable[str]) -> None:
    """Refuse to break down by a column that is rather a list of clips.

    Raises:
        PipelineError: If it has more than 50 distinct values.
    """
    num_values = len(set(values))
    if num_values > MAX_VALUES:
        raise PipelineError(
            f"column {column!r} has {num_values} distinct values, at most {MAX_VALUES} can be "
            "broken down. Bin it first (e.g. ages into ranges), or leave it out."
        )


def _intervals_to_json(intervals: Intervals) -> dict[str, Any]:
    return {
        metric: _map_values(Interval.to_json, by_trait) for metric, by_trait in intervals.items()
    }


def _intervals_from_json(value: Mapping[str, Any]) -> dict[str, dict[str, Interval]]:
    return {metric: _map_values(Interval.from_json, traits) for metric, traits in value.items()}


def _map_values(function: Callable[[Any], Any], mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key: function(value) for key, value in mapping.items()}
