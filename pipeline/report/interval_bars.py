"""Intervals side by side on one axis: the one picture that the report draws itself."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.core.number_format import METRIC_NAMES, metric_value
from pipeline.metrics.regression import HIGHER_IS_BETTER
from pipeline.records.evaluation import EvaluationReport, Interval
from pipeline.report.verdicts import HEADLINE_METRICS, ILLEGITIMATE
from pipeline.report.wording import baseline_name, interval, sentence

_MARGIN = 0.04
"""Room left and right of the values, as a share of their range."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One predictor on the axis; positions and widths in per cent of the axis."""

    label: str
    value: str
    """The value, in words."""
    interval: str
    """Its interval, in words; empty where there is none."""
    point: float
    """Where the value is."""
    left: float
    """Where the interval begins; the value itself where there is none."""
    width: float
    """How far the interval reaches."""
    is_model: bool
    """Whether it is the model, not a baseline."""
    is_rival: bool
    """Whether it is the model or a legitimate baseline."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Strip:
    """One metric of the model and of its baselines, on average over the traits."""

    title: str
    bars: tuple[Bar, ...]
    zero: float | None
    """Where 0 is; None where it is off the axis."""


def interval_strips(evaluation: EvaluationReport) -> tuple[Strip, ...]:
    """Return the headline metrics of the model, and of the baselines from best to worst."""
    return tuple(_strip(metric, evaluation) for metric in HEADLINE_METRICS)


def _strip(metric: str, evaluation: EvaluationReport) -> Strip:
    model = evaluation.metrics[metric]["mean"]
    baselines = {name: scores[metric]["mean"] for name, scores in evaluation.baselines.items()}
    ranked = sorted(
        baselines, key=lambda name: baselines[name].value, reverse=HIGHER_IS_BETTER[metric]
    )
    axis = _Axis.around(model, *baselines.values())
    bars = [_bar(metric, "this model", model, axis, is_model=True)]
    for name in ranked:
        label = baseline_name(name).removeprefix("the ")
        is_rival = name not in ILLEGITIMATE
        bars.append(_bar(metric, label, baselines[name], axis, is_rival=is_rival))
    return Strip(
        title=sentence(METRIC_NAMES[metric]),
        bars=tuple(bars),
        zero=axis.position(0.0) if axis.low <= 0 <= axis.high else None,
    )


def _bar(
    metric: str,
    label: str,
    estimate: Interval,
    axis: "_Axis",
    *,
    is_model: bool = False,
    is_rival: bool = True,
) -> Bar:
    low, high = _ends(estimate)
    left = axis.position(low)
    return Bar(
        label=label,
        value=metric_value(metric, estimate.value),
        interval=interval(metric, estimate),
        point=axis.position(estimate.value),
        left=left,
        width=axis.position(high) - left,
        is_model=is_model,
        is_rival=is_rival,
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float

    @classmethod
    def around(cls, *estimates: Interval) -> "_Axis":
        ends = [end for estimate in estimates for end in _all_points(estimate)]
        low, high = min(ends), max(ends)
        margin = _MARGIN * (high - low) or 0.5  # equal values stand in the middle
        return cls(low - margin, high + margin)

    def position(self, value: float) -> float:
        return round(100 * (value - self.low) / (self.high - self.low), 2)


def _ends(estimate: Interval) -> tuple[float, float]:
    return (estimate.low, estimate.high) if estimate.exists else (estimate.value, estimate.value)


def _all_points(estimate: Interval) -> Iterator[float]:
    yield estimate.value
    yield from _ends(estimate)
