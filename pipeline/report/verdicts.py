"""Whether a model is better than a baseline, and what shows it.

A paired interval, from the same resamples of the same clips, decides where there is one.
Without it, only two intervals that do not overlap are evidence: that is stricter than a
test of the difference, as |a - b| then exceeds the sum of both half-widths, which bounds
the half-width of the difference however the two are correlated. Intervals that overlap
show nothing in either direction.

Reference: Schenker & Gentleman, 2001 (doi:10.1198/000313001317097960), on judging by
    overlap.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pipeline.metrics.regression import HIGHER_IS_BETTER
from pipeline.report.records import Estimate, RunRecords

HEADLINE_METRICS: Final = ("r2", "accuracy")
"""The metrics that the verdicts in words are about."""

ILLEGITIMATE: Final = frozenset({"same_group_mean"})
"""Baselines that read annotations no predictor may know; nothing has to beat them."""


class Standing(enum.Enum):
    """How a model stands to a baseline in one metric."""

    BETTER = "better"
    """The evidence shows it."""
    AHEAD = "ahead"
    """Its value is the better one; nothing shows that this is more than chance."""
    LEVEL = "level"
    """The values are equal."""
    BEHIND = "behind"
    """Its value is the worse one; nothing shows that this is more than chance."""
    WORSE = "worse"
    """The evidence shows it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """How the model stands to one baseline in one metric, on average over the traits."""

    metric: str
    baseline: str
    model: Estimate
    reference: Estimate
    """What the baseline scores."""
    difference: Estimate | None
    """The model minus the baseline, paired; None where only the overlap could decide."""
    standing: Standing

    @property
    def is_paired(self) -> bool:
        """Whether a paired interval has decided, not the overlap of two."""
        return self.difference is not None


def judge(records: RunRecords) -> tuple[Verdict, ...]:
    """Return the verdicts on every legitimate baseline in every headline metric."""
    return tuple(_verdicts(records))


def _verdicts(records: RunRecords) -> Iterator[Verdict]:
    evaluation = records.evaluation
    if evaluation is None:
        return
    for metric in HEADLINE_METRICS:
        model = evaluation.metrics[metric]["mean"]
        for name, scores in evaluation.baselines.items():
            if name in ILLEGITIMATE:
                continue
            paired = evaluation.baseline_differences.get(name, {}).get(metric, {}).get("mean")
            yield Verdict(
                metric=metric,
                baseline=name,
                model=model,
                reference=scores[metric]["mean"],
                difference=paired,
                standing=standing(metric, model, scores[metric]["mean"], paired=paired),
            )


def standing(
    metric: str, model: Estimate, baseline: Estimate, *, paired: Estimate | None = None
) -> Standing:
    """Return how a model stands to a baseline.

    Args:
        metric: Name of the metric.
        model: What the model scores.
        baseline: What the baseline scores on the same clips.
        paired: The model minus the baseline, from the same resamples.
    """
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    gain = sign * (model.value - baseline.value)
    shown = _is_off_zero(paired) if paired is not None else are_apart(model, baseline)
    if gain == 0:
        return Standing.LEVEL
    if gain > 0:
        return Standing.BETTER if shown else Standing.AHEAD
    return Standing.WORSE if shown else Standing.BEHIND


def are_apart(a: Estimate, b: Estimate) -> bool:
    """Return whether two intervals exist and do not overlap."""
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.low > b.high or a.high < b.low


def _is_off_zero(difference: Estimate) -> bool:
    if difference.low is None or difference.high is None:
        return False
    return difference.low > 0 or difference.high < 0
