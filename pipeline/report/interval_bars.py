"""Interval bars: scores of the model and its baselines on one axis per metric."""

from dataclasses import dataclass
from typing import Final

from pipeline.core.number_format import METRIC_NAMES, metric_value
from pipeline.metrics.regression import HIGHER_IS_BETTER
from pipeline.records.evaluation import EvaluationReport, Interval
from pipeline.report.headline import HEADLINE_METRICS, ILLEGITIMATE
from pipeline.report.wording import display_name, interval, sentence

_MARGIN: Final = 0.04
"""Space left and right of the values, as a share of their range."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """Score of one predictor; positions and widths are percentages of the axis."""

    label: str
    value: str
    interval: str
    """Interval as text; empty without an interval."""
    point: float
    left: float
    """Position of the lower end; the value without an interval."""
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
    """Position of 0; None outside the axis."""


def interval_bars(evaluation: EvaluationReport) -> tuple[MetricBars, ...]:
    """Build the bars of the headline metrics: the model, then the baselines from best to worst."""
    return tuple(_metric_bars(metric, evaluation) for metric in HEADLINE_METRICS)


def _metric_bars(metric: str, evaluation: EvaluationReport) -> MetricBars:
    model = evaluation.metrics[metric]["mean"]
    baselines = {name: scores[metric]["mean"] for name, scores in evaluation.baselines.items()}
    ranked = sorted(
        baselines, key=lambda name: baselines[name].value, reverse=HIGHER_IS_BETTER[metric]
    )
    points = [point for score in (model, *baselines.values()) for point in _points(score)]
    margin = _MARGIN * (max(points) - min(points)) or 0.5  # equal values are centred
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
        title=sentence(METRIC_NAMES[metric]),
        bars=(bar(model), *(bar(baselines[name], name) for name in ranked)),
        zero=position(0.0) if low <= 0 <= high else None,
    )


def _points(score: Interval) -> tuple[float, float, float]:
    """Return value, lower end and upper end; the value as both ends without an interval."""
    ends = (score.low, score.high) if score.exists else (score.value, score.value)
    return score.value, *ends
