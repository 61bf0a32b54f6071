"""Evidence that a model is better or worse than a baseline.

The paired interval of the difference decides: model and baseline are scored on the same
resamples of the same clips.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pipeline.metrics.regression import HIGHER_IS_BETTER
from pipeline.records.evaluation import Interval
from pipeline.report.loading import RunRecords

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
    model: Interval
    reference: Interval
    """What the baseline scores."""
    difference: Interval
    """The model minus the baseline, paired."""
    standing: Standing


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
            difference = evaluation.baseline_differences[name][metric]["mean"]
            yield Verdict(
                metric=metric,
                baseline=name,
                model=model,
                reference=scores[metric]["mean"],
                difference=difference,
                standing=standing(metric, difference),
            )


def standing(metric: str, difference: Interval) -> Standing:
    """Return how a model compares with a baseline.

    Args:
        metric: Name of the metric.
        difference: The model minus the baseline, from the same resamples.
    """
    gain = difference.value if HIGHER_IS_BETTER[metric] else -difference.value
    if gain == 0:
        return Standing.LEVEL
    if gain > 0:
        return Standing.BETTER if difference.excludes_zero else Standing.AHEAD
    return Standing.WORSE if difference.excludes_zero else Standing.BEHIND
