"""Which of two models is better: paired on the same clips and the same resampled groups.

Shapes: N clips, K = 5 traits.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import RunError
from pipeline.core.near_names import nearest_name
from pipeline.core.number_format import metric_differences, percent
from pipeline.evaluation.intervals.bootstrap import paired_differences
from pipeline.metrics.regression import HIGHER_IS_BETTER, METRICS, trait_metrics
from pipeline.records.evaluation import Interval, Intervals, scores_to_json
from pipeline.records.predictions import Predictions

_TRUTH_TOLERANCE: Final = 1e-6
"""Annotated scores that differ by less are the same: float32 against float64."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What two models score on the same clips, and what the difference is worth.

    Each metric is judged by itself, at the confidence of its interval; the six are not
    six independent witnesses (accuracy is 1 - MAE).
    """

    names: tuple[str, str]
    """What the two models are called."""

    num_clips: int
    """Number of clips that both were scored on: all clips of either."""

    num_groups: int
    """Number of groups; whole groups were resampled for the intervals."""

    metrics: Mapping[str, Mapping[str, Mapping[str, float]]]
    """Name of the model -> metric -> trait name or "mean" -> value."""

    differences: Intervals
    """Metric -> trait name or "mean" -> the second minus the first."""

    confidence: float
    """Share of the resamples that each interval holds."""

    num_resamples: int
    """Number of resamples of each interval."""

    @property
    def verdicts(self) -> dict[str, str]:
        """One sentence for each metric, on its mean over the traits."""
        return {metric: self._verdict(metric) for metric in METRICS}

    @property
    def overall(self) -> str:
        """One sentence on all metrics together."""
        first, second = self.names
        winners = {metric: self._winner(metric) for metric in METRICS}
        wins = {
            name: ", ".join(metric for metric in METRICS if winners[metric] == name)
            for name in self.names
        }
        sample = f"{self.num_clips} clips of {self.num_groups} groups"
        if self.num_groups < 2:
            return f"No difference can be shown: all {self.num_clips} clips are of one group."
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
        """Return the comparison as JSON values; an interval that does not exist has null ends."""
        return {
            "names": list(self.names),
            "num_clips": self.num_clips,
            "num_groups": self.num_groups,
            "metrics": {name: dict(values) for name, values in self.metrics.items()},
            "differences": scores_to_json(self.differences),
            "verdicts": self.verdicts,
            "overall": self.overall,
            "confidence": self.confidence,
            "num_resamples": self.num_resamples,
        }

    def _winner(self, metric: str) -> str | None:
        """Return the better model, None where the interval holds 0 or does not exist."""
        difference = self.differences[metric]["mean"]
        if not (difference.low > 0 or difference.high < 0):
            return None
        return self.names[(difference.low > 0) == HIGHER_IS_BETTER[metric]]

    def _verdict(self, metric: str) -> str:
        first, second = self.names
        difference = self.differences[metric]["mean"]
        if math.isnan(difference.low):
            return f"A difference in {metric} is not shown: one group only."
        winner = self._winner(metric)
        gain = _negated(difference) if winner is not None and difference.low <= 0 else difference
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
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two models on the clips that both predicted, joined by clip id.

    Args:
        a: Predictions of the first model, with the annotated scores.
        b: Predictions of the second model, of the same clips in any order.
        names: What the two are called in the verdicts.
        num_resamples: Number of resamples of each interval.
        confidence: Share of the resamples that each interval holds, in (0, 1).
        seed: Seed of the resamples.

    Raises:
        RunError: If the names are equal, the clips, their groups or their annotated
            scores differ, or the annotated scores are unknown.
    """
    if names[0] == names[1]:
        raise RunError(f"both models are called {names[0]!r}. Give them different names.")
    y_true, b = _checked_truth(a, names[0]), _aligned(a, b, names)
    _refuse_different_annotations(a, y_true, b, _checked_truth(b, names[1]), names)
    return Comparison(
        names=names,
        num_clips=len(a.clip_ids),
        num_groups=len(set(a.groups)),
        metrics={
            name: trait_metrics(y_true, predictions.y_pred)
            for name, predictions in zip(names, (a, b), strict=True)
        },
        differences=paired_differences(
            y_true,
            a.y_pred,
            b.y_pred,
            a.groups,
            num_resamples=num_resamples,
            confidence=confidence,
            seed=seed,
        ),
        confidence=confidence,
        num_resamples=num_resamples,
    )


def _checked_truth(predictions: Predictions, name: str) -> FloatArray:
    if predictions.y_true is None:
        raise RunError(
            f"{name} has no annotated scores (columns true_...). Compare predictions that were "
            "made by evaluating on labelled clips."
        )
    return predictions.y_true


def _aligned(a: Predictions, b: Predictions, names: tuple[str, str]) -> Predictions:
    """Return B with its rows in the order of A."""
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
            f"{names[0]} and {names[1]} must hold the same clips; {found}.{nearest} "
            "Evaluate both on the same split of the same feature set."
        )
    for predictions, name in ((a, names[0]), (b, names[1])):
        if len(set(predictions.clip_ids)) != len(predictions.clip_ids):
            raise RunError(f"{name} holds a clip twice; expected each once. Predict again.")
    row_of = {clip_id: row for row, clip_id in enumerate(b.clip_ids)}
    order = np.array([row_of[clip_id] for clip_id in a.clip_ids], dtype=np.intp)
    return Predictions(
        clip_ids=a.clip_ids,
        groups=[b.groups[row] for row in order],
        y_pred=b.y_pred[order],
        y_true=None if b.y_true is None else b.y_true[order],
    )


def _refuse_different_annotations(
    a: Predictions,
    true_a: FloatArray,
    b: Predictions,
    true_b: FloatArray,
    names: tuple[str, str],
) -> None:
    """Refuse aligned predictions whose clips have other groups or annotated scores."""
    other_group = np.asarray(a.groups) != np.asarray(b.groups)
    other_truth = ~np.isclose(true_a, true_b, rtol=0, atol=_TRUTH_TOLERANCE).all(axis=1)
    for differs, what in ((other_group, "group"), (other_truth, "annotated scores")):
        if differs.any():
            raise RunError(
                f"{names[0]} and {names[1]} must agree on the {what} of each clip: "
                f"{int(differs.sum())} of {len(a.clip_ids)} differ, the first is "
                f"{a.clip_ids[int(np.argmax(differs))]}. Evaluate both on the same feature set."
            )


def _negated(interval: Interval) -> Interval:
    return Interval(-interval.value, -interval.high, -interval.low)
