"""Headline of the report, and the comparison with the baselines behind it.

The paired interval of the difference determines the outcome. Model and baseline are scored on
the same resamples of the same clips.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.core.number_format import METRIC_NAMES
from pipeline.metrics.regression import HIGHER_IS_BETTER
from pipeline.records.evaluation import EvaluationReport, Interval
from pipeline.report.wording import display_name, listing, sentence

HEADLINE_METRICS: Final = ("r2", "accuracy")
"""Metrics of the headline and the summary."""

ILLEGITIMATE: Final = frozenset({"same_group_mean"})
"""Baselines that use annotations of the evaluated clips; no model has to beat them."""


class Outcome(enum.Enum):
    """Outcome of a comparison with a baseline.

    For AHEAD and BEHIND, the interval of the difference contains 0.
    """

    BETTER = "better"
    AHEAD = "ahead"
    EQUAL = "equal"
    BEHIND = "behind"
    WORSE = "worse"


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineResult:
    """Comparison with one baseline in one metric, averaged over the traits."""

    metric: str
    baseline: str
    model_score: Interval
    baseline_score: Interval
    difference: Interval
    """Model minus baseline, paired."""

    @property
    def outcome(self) -> Outcome:
        """Outcome according to the paired interval."""
        gain = self.difference.value * (1 if HIGHER_IS_BETTER[self.metric] else -1)
        if gain == 0:
            return Outcome.EQUAL
        if gain > 0:
            return Outcome.BETTER if self.difference.excludes_zero else Outcome.AHEAD
        return Outcome.WORSE if self.difference.excludes_zero else Outcome.BEHIND


_CLAIMS: Final = (
    ("worse than", (Outcome.WORSE,)),
    ("not shown to be better than", (Outcome.AHEAD, Outcome.EQUAL, Outcome.BEHIND)),
    ("better than", (Outcome.BETTER,)),
)
"""Claims of the headline and their outcomes, worst first."""


def headline(evaluation: EvaluationReport | None) -> str:
    """Write the headline of the report: the result against the baselines, worst first."""
    if evaluation is None:
        return "There are no scores on held-out clips"
    results = baseline_results(evaluation)
    claims = [_claim(results, words, outcomes) for words, outcomes in _CLAIMS]
    text = "; ".join(claim for claim in claims if claim)
    return sentence(text) or "Not compared with any baseline"


def baseline_results(evaluation: EvaluationReport | None) -> tuple[BaselineResult, ...]:
    """Compare the model with every legitimate baseline in every headline metric."""
    if evaluation is None:
        return ()
    return tuple(
        BaselineResult(
            metric=metric,
            baseline=name,
            model_score=evaluation.metrics[metric]["mean"],
            baseline_score=scores[metric]["mean"],
            difference=evaluation.baseline_differences[name][metric]["mean"],
        )
        for metric in HEADLINE_METRICS
        for name, scores in evaluation.baselines.items()
        if name not in ILLEGITIMATE
    )


def _claim(results: Sequence[BaselineResult], words: str, outcomes: Sequence[Outcome]) -> str:
    metrics: dict[str, list[str]] = {}
    for result in results:
        if result.outcome in outcomes:
            metrics.setdefault(result.baseline, []).append(METRIC_NAMES[result.metric])
    baselines: dict[str, list[str]] = {}
    for name, names in metrics.items():
        baselines.setdefault(listing(names), []).append(display_name(name))
    return "; ".join(f"{words} {listing(names)} in {text}" for text, names in baselines.items())
