"""Paired comparison of two models on the same clips.

Shapes: N clips, K traits.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from pipeline.core.arrays import BoolArray, FloatArray, IntArray
from pipeline.core.errors import RunError
from pipeline.core.near_names import nearest_name
from pipeline.core.number_format import count, metric_differences, percent
from pipeline.evaluation.intervals.bootstrap import CONFIDENCE, paired_differences
from pipeline.metrics.regression import HIGHER_IS_BETTER, METRICS, trait_metrics
from pipeline.records.evaluation import Interval, Intervals
from pipeline.records.predictions import Predictions

NUM_RESAMPLES: Final = 2000
"""Number of resamples for 95 % intervals."""

_TRUTH_TOLERANCE: Final = 1e-6
"""Annotated scores count as equal up to this difference. float32 rounding errors are smaller."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Metrics of two models on the same clips, and their differences with intervals.

    The confidence applies to each metric separately. The six metrics are not independent
    (accuracy is 1 - MAE).
    """

    names: tuple[str, str]
    labels: tuple[str, str]
    """Short names of the models in the verdicts."""
    split: str
    """Subset of the clips, e.g. "test"; "" if it is unknown."""
    num_clips: int
    num_groups: int
    """Number of groups; whole groups are resampled for the intervals."""
    metrics: Mapping[str, Mapping[str, Mapping[str, float]]]
    """Model -> metric -> trait name or "mean" -> value."""
    differences: Intervals
    """Metric -> trait name or "mean" -> value of the second model minus value of the first."""
    confidence: float
    """Confidence level of each interval, in (0, 1)."""
    num_resamples: int

    @property
    def sample(self) -> str:
        """Numbers of clips and groups, e.g. `1,200 test clips of 525 groups`."""
        clips = count(self.num_clips, f"{self.split} clip".lstrip())
        return f"{clips} of {count(self.num_groups, 'group')}"

    @property
    def verdicts(self) -> dict[str, str]:
        """Metric -> result in one sentence, for the mean over traits."""
        return {metric: self._verdict(metric) for metric in METRICS}

    @property
    def overall(self) -> str:
        """Result for all metrics together, in one sentence."""
        first, second = self.labels
        winners = {metric: self.winner(metric) for metric in METRICS}
        wins = {
            label: ", ".join(metric for metric in METRICS if winners[metric] == label)
            for label in self.labels
        }
        sample = self.sample
        if self.num_groups < 2:
            return f"No difference can be shown: all {self.num_clips} clips are from one group."
        if wins[first] and wins[second]:
            return (
                f"The metrics disagree on {sample}: {first} is better in {wins[first]}; "
                f"{second} is better in {wins[second]}."
            )
        if not wins[first] and not wins[second]:
            return f"No difference between {first} and {second} is shown on {sample}."
        better, worse = (second, first) if wins[second] else (first, second)
        undecided = ", ".join(metric for metric in METRICS if winners[metric] is None)
        rest = f"; no difference is shown in {undecided}" if undecided else ""
        return f"{better} is better than {worse} in {wins[better]} on {sample}{rest}."

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON values. The limits of a missing interval are null."""
        return asdict(self) | {"verdicts": self.verdicts, "overall": self.overall}

    def winner(self, metric: str) -> str | None:
        """Return the label of the model with the better mean over traits.

        Return None if no difference is shown.
        """
        difference = self.differences[metric]["mean"]
        if not difference.excludes_zero:
            return None
        return self.labels[(difference.low > 0) == HIGHER_IS_BETTER[metric]]

    def _verdict(self, metric: str) -> str:
        first, second = self.labels
        gain = self.differences[metric]["mean"]
        if math.isnan(gain.low):
            return f"No difference in {metric} can be shown: all clips are from one group."
        winner = self.winner(metric)
        if winner is not None and gain.low <= 0:
            gain = Interval(-gain.value, -gain.high, -gain.low)
        value, low, high = metric_differences(metric, gain.value, gain.low, gain.high)
        interval = f"({percent(self.confidence)} interval {low} to {high})"
        if winner is None:
            return (
                f"No difference in {metric} is shown: {second} minus {first} is {value} {interval}."
            )
        loser = first if winner == second else second
        return f"{winner} is better than {loser} in {metric} by {value} {interval}."


def compare_predictions(
    a: Predictions,
    b: Predictions,
    *,
    names: tuple[str, str] = ("A", "B"),
    labels: tuple[str, str] | None = None,
    split: str = "",
    confidence: float = CONFIDENCE,
    num_resamples: int = NUM_RESAMPLES,
) -> Comparison:
    """Compare two models on the same clips. The rows are joined by clip id.

    The verdicts use the short names `labels`; if None, they use `names`. `split` is the name of the
    subset of the clips.

    Raises:
        RunError: If both models have the same name, annotated scores are unknown, or a clip occurs
            twice in the predictions of a model. Also if the models have different traits, clips,
            groups or annotated scores.
    """
    if names[0] == names[1]:
        raise RunError(f"both models are called {names[0]!r}. Give different names.")
    check_same_traits(a, b, names)
    y_true, other_truth = annotated_scores(a, names[0]), annotated_scores(b, names[1])
    rows = _matching_rows(a, b, names)
    b, other_truth = b.take(rows), other_truth[rows]
    has_other_group = np.asarray(a.groups) != np.asarray(b.groups)
    has_other_truth = ~is_same_truth(y_true, other_truth)
    for differs, what in ((has_other_group, "group"), (has_other_truth, "annotated scores")):
        if differs.any():
            raise RunError(
                f"{names[0]} and {names[1]} must agree on the {what} of each clip: "
                f"{int(differs.sum())} of {len(a.clip_ids)} differ, the first is "
                f"{a.clip_ids[int(np.argmax(differs))]}. Evaluate both models on the same feature "
                "set."
            )
    return Comparison(
        names=names,
        labels=labels or names,
        split=split,
        num_clips=len(a.clip_ids),
        num_groups=len(set(a.groups)),
        metrics={
            name: trait_metrics(y_true, predictions.y_pred, trait_names=a.trait_names)
            for name, predictions in zip(names, (a, b), strict=True)
        },
        differences=paired_differences(
            y_true,
            a.y_pred,
            b.y_pred,
            a.groups,
            trait_names=a.trait_names,
            num_resamples=num_resamples,
            confidence=confidence,
            seed=0,
        ),
        confidence=confidence,
        num_resamples=num_resamples,
    )


def check_same_traits(a: Predictions, b: Predictions, names: tuple[str, str]) -> None:
    """Check that two models predict the same traits in the same order.

    Raises:
        RunError: If the traits differ.
    """
    if a.trait_names != b.trait_names:
        raise RunError(
            f"{names[0]} and {names[1]} must have the same traits in the same order; found "
            f"{', '.join(a.trait_names)} and {', '.join(b.trait_names)}. Compare models that were "
            "trained with the same traits (data.traits)."
        )


def is_same_truth(y_true: FloatArray, other_truth: FloatArray) -> BoolArray:
    """Return True for clips whose annotated scores are equal, except for rounding to float32."""
    is_same = np.isclose(y_true, other_truth, rtol=0, atol=_TRUTH_TOLERANCE).all(axis=-1)
    return np.asarray(is_same)


def annotated_scores(predictions: Predictions, name: str) -> FloatArray:
    """Return the annotated scores (N, K) of the predictions of the model `name`.

    Raises:
        RunError: If they are unknown, or a clip occurs twice.
    """
    if predictions.y_true is None:
        raise RunError(
            f"{name} has no annotated scores (columns true_...). Compare predictions from an "
            "evaluation on labelled clips."
        )
    if len(set(predictions.clip_ids)) != len(predictions.clip_ids):
        raise RunError(f"{name} contains a clip twice. Predict again, with each clip once.")
    return predictions.y_true


def _matching_rows(a: Predictions, b: Predictions, names: tuple[str, str]) -> IntArray:
    """Return, for each clip of A, its row number in B."""
    only_a = sorted(set(a.clip_ids) - set(b.clip_ids))
    only_b = sorted(set(b.clip_ids) - set(a.clip_ids))
    if only_a or only_b:
        found = "; ".join(
            f"only in {name}: {len(clips)} ({', '.join(map(repr, clips[:3]))})"
            for clips, name in ((only_a, names[0]), (only_b, names[1]))
            if clips
        )
        near = nearest_name(only_a[0], only_b) if only_a else None
        nearest = f" The nearest to {only_a[0]!r} is {near!r}." if near else ""
        raise RunError(
            f"{names[0]} and {names[1]} must contain the same clips; {found}.{nearest} "
            "Evaluate both models on the same split of the same feature set. Runs with other seeds "
            "have the same split if --data.split_seed is equal."
        )
    row_of = {clip_id: row for row, clip_id in enumerate(b.clip_ids)}
    return np.array([row_of[clip_id] for clip_id in a.clip_ids], dtype=np.int64)
