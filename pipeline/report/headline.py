"""Headline and interval bars of the report: comparison of the model with the baselines.

The outcome of a comparison depends on the interval of the paired difference. For this interval,
model and baseline are evaluated on the same resamples of the clips.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.core.number_format import METRIC_NAMES, metric_value
from pipeline.metrics.regression import HIGHER_IS_BETTER
from pipeline.records.evaluation import EvaluationReport, Interval
from pipeline.report.wording import capitalized, display_name, interval, listing

HEADLINE_METRICS: Final = ("r2", "accuracy")
"""Metrics of the headline and the summary."""

ILLEGITIMATE: Final = frozenset({"same_group_mean"})
"""Baselines that use annotations of the evaluated clips. The headline does not include them."""

_MARGIN: Final = 0.04
"""Margin on each side of the interval bars, as a fraction of the range of values."""


class Outcome(enum.Enum):
    """Outcome of a comparison with a baseline.

    For `AHEAD` and `BEHIND`, the interval of the difference contains 0 or does not exist.
    """

    BETTER = "better"
    AHEAD = "ahead"
    EQUAL = "equal"
    BEHIND = "behind"
    WORSE = "worse"


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineResult:
    """Comparison of the model with one baseline in one metric, averaged over the traits."""

    metric: str
    baseline: str
    model_score: Interval
    baseline_score: Interval
    difference: Interval
    """Paired difference: model minus baseline."""

    @property
    def outcome(self) -> Outcome:
        """Outcome according to the sign and the interval of the difference."""
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
"""Claims of the headline, worst first. Each claim has a text and a tuple of outcomes."""


def headline(evaluation: EvaluationReport | None, *, is_ridge: bool = False) -> str:
    """Return the headline of the report: the comparison with the baselines, worst result first.

    If `is_ridge` is true, the scores of the model are those of ridge regression.
    """
    if evaluation is None:
        return "There are no scores on held-out clips"
    results = baseline_results(evaluation, is_ridge=is_ridge)
    claims = [_claim(results, words, outcomes) for words, outcomes in _CLAIMS]
    if is_ridge:
        claims.insert(0, "the same as ridge regression")
    text = "; ".join(claim for claim in claims if claim)
    return capitalized(text) or "Not compared with any baseline"


def baseline_results(
    evaluation: EvaluationReport | None, *, is_ridge: bool = False
) -> tuple[BaselineResult, ...]:
    """Compare the model with the baselines (except `ILLEGITIMATE`) in each headline metric.

    If `is_ridge` is true, the model is not compared with ridge regression. Only the soft clip to
    [0, 1] distinguishes the two.
    """
    if evaluation is None:
        return ()
    left_out = ILLEGITIMATE | {"ridge"} if is_ridge else ILLEGITIMATE
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
        if name not in left_out
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """Bar of the model or a baseline. Positions and widths are in percent of the axis."""

    label: str
    value: str
    interval: str
    """Text of the interval; "" without an interval."""
    point: float
    left: float
    """Position of the lower end of the interval. Without an interval, it equals `point`."""
    width: float
    is_model: bool
    is_legitimate: bool
    """False for a baseline that uses annotations of the evaluated clips."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricBars:
    """Bars of one metric, averaged over the traits."""

    title: str
    bars: tuple[Bar, ...]
    zero: float | None
    """Position of the value 0; None if 0 is outside the axis."""


def interval_bars(evaluation: EvaluationReport) -> tuple[MetricBars, ...]:
    """Build the bars of each headline metric: the model, then the baselines from best to worst."""
    return tuple(_metric_bars(metric, evaluation) for metric in HEADLINE_METRICS)


def _metric_bars(metric: str, evaluation: EvaluationReport) -> MetricBars:
    model = evaluation.metrics[metric]["mean"]
    baselines = {name: scores[metric]["mean"] for name, scores in evaluation.baselines.items()}
    ranked = sorted(
        baselines, key=lambda name: baselines[name].value, reverse=HIGHER_IS_BETTER[metric]
    )
    points = [point for score in (model, *baselines.values()) for point in _points(score)]
    margin = _MARGIN * (max(points) - min(points)) or 0.5  # equal values are in the centre
    low, high = min(points) - margin, max(points) + margin

    def position(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    def bar(score: Interval, baseline: str = "") -> Bar:
        _, left, right = map(position, _points(score))
        return Bar(
            label=display_name(baseline).removeprefix("the ") if baseline else "this model",
            value=metric_value(metric, score.value),
            interval=interval(metric, score),
            point=position(score.value),
            left=left,
            width=right - left,
            is_model=not baseline,
            is_legitimate=baseline not in ILLEGITIMATE,
        )

    return MetricBars(
        title=capitalized(METRIC_NAMES[metric]),
        bars=(bar(model), *(bar(baselines[name], name) for name in ranked)),
        zero=position(0.0) if low <= 0 <= high else None,
    )


def _points(score: Interval) -> tuple[float, float, float]:
    """Return the value, the lower end and the upper end; all equal without an interval."""
    ends = (score.low, score.high) if score.exists else (score.value, score.value)
    return score.value, *ends
