"""Evaluation report of one model: metrics with intervals, baselines, subgroups, original units.

Shapes: N clips, K traits.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import PipelineError, RunError
from pipeline.core.traits import TraitLabel, label_ranges, was_rescaled
from pipeline.evaluation.intervals.bootstrap import (
    CONFIDENCE,
    GroupBootstrap,
    ResampledScores,
    difference,
)
from pipeline.records.evaluation import (
    Coverage,
    EvaluationReport,
    OriginalUnits,
    Overlap,
    Scores,
    Subgroup,
)
from pipeline.records.predictions import Predictions

MISSING: Final = "(missing)"
"""Name of the subgroup of clips that have no value in a column."""

MAX_VALUES: Final = 50
"""Maximum number of subgroups per column."""


def build_report(
    predictions: Predictions,
    baseline_predictions: Mapping[str, FloatArray],
    *,
    split: str,
    without_stream: Mapping[str, FloatArray] | None = None,
    by: Mapping[str, Sequence[Any]] | None = None,
    group_overlap: Mapping[str, Overlap] | None = None,
    intervals: Coverage | None = None,
    traits: Sequence[TraitLabel] = (),
    num_resamples: int,
    seed: int,
) -> EvaluationReport:
    """Compute the metrics of the model and of its baselines on the same clips and resamples.

    Each baseline has scores of shape (N, K). `without_stream` contains the scores of the model
    without each stream, of the same shape. `by` contains column -> values of the N clips. All
    clips with the same value in a column are a subgroup, and the metrics of the model are also
    computed on each subgroup. The values None, NaN and "" become "(missing)". `traits` describes
    the annotations. If their original range is not [0, 1], the report contains errors in original
    units.

    Raises:
        PipelineError: If the annotated scores are unknown, or a column has more than
            50 distinct values.
        ValueError: If a baseline or a column does not have exactly one row per clip.
    """
    y_true = predictions.y_true
    if y_true is None:
        raise RunError(
            f"the {split} predictions have no annotated scores. "
            "Evaluate on a feature set that has labels.npy."
        )
    groups = np.asarray(predictions.groups, dtype=np.str_)
    options: Any = {
        "trait_names": predictions.trait_names,
        "num_resamples": num_resamples,
        "seed": seed,
    }

    bootstrap = GroupBootstrap(groups, **options)
    model = bootstrap.score(y_true, predictions.y_pred)
    baselines = {
        name: bootstrap.score(y_true, scores) for name, scores in baseline_predictions.items()
    }

    def gain(scores: ResampledScores) -> Scores:
        return bootstrap.intervals(difference(scores, model))

    def subgroup(rows: Any) -> Subgroup:
        part = GroupBootstrap(groups[rows], **options)
        return Subgroup(
            num_clips=int(rows.sum()),
            num_groups=len(set(groups[rows])),
            metrics=part.intervals(part.score(y_true[rows], predictions.y_pred[rows])),
        )

    columns = {
        column: _as_text(column, values, num_clips=len(groups))
        for column, values in (by or {}).items()
    }
    return EvaluationReport(
        split=split,
        num_clips=len(groups),
        num_groups=len(set(groups)),
        metrics=bootstrap.intervals(model),
        baselines={name: bootstrap.intervals(scores) for name, scores in baselines.items()},
        baseline_differences={name: gain(scores) for name, scores in baselines.items()},
        without_stream={
            name: gain(bootstrap.score(y_true, scores))
            for name, scores in (without_stream or {}).items()
        },
        by={
            column: {value: subgroup(values == value) for value in np.unique(values).tolist()}
            for column, values in columns.items()
        },
        group_overlap=dict(group_overlap or {}),
        intervals=intervals,
        original_units=_original_units(bootstrap, model, traits),
        confidence=CONFIDENCE,
        num_resamples=num_resamples,
    )


def _original_units(
    bootstrap: GroupBootstrap, model: ResampledScores, traits: Sequence[TraitLabel]
) -> OriginalUnits | None:
    if not was_rescaled(traits):
        return None
    errors = bootstrap.errors_in_units(model, np.array([trait.width for trait in traits]))
    return OriginalUnits(label_ranges=label_ranges(traits), **errors)


def _as_text(column: str, values: Sequence[Any], *, num_clips: int) -> Any:
    if len(values) != num_clips:
        raise ValueError(f"column {column!r} has {len(values)} values for {num_clips} clips")
    names = [MISSING if pd.isna(value) or value == "" else str(value) for value in values]
    check_few_values(column, names)
    return np.asarray(names, dtype=np.str_)


def check_few_values(column: str, values: Iterable[str]) -> None:
    """Check that a column has at most 50 distinct values.

    Raises:
        PipelineError: If the column has more than 50 distinct values.
    """
    num_values = len(set(values))
    if num_values > MAX_VALUES:
        raise PipelineError(
            f"column {column!r} has {num_values} distinct values, but at most {MAX_VALUES} are "
            "supported. Bin the values first (for example ages into ranges), or omit the column."
        )
