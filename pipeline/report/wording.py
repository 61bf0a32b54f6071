"""Numbers, lists and names, as the report writes them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.records.evaluation import Interval

_NBSP: Final = "\N{NO-BREAK SPACE}"

METRIC_NAMES: Final[Mapping[str, str]] = {
    "accuracy": "accuracy",
    "mae": "MAE",
    "mse": "MSE",
    "r2": "R²",
    "pcc": "PCC",
    "ccc": "CCC",
}
"""What the metrics are called."""

_DIGITS: Final[Mapping[str, int]] = {"accuracy": 4, "mae": 4, "mse": 5}
"""Decimals of the metrics whose differences are small; the others have three."""

_MAX_DIGITS: Final = 7

_BASELINE_NAMES: Final[Mapping[str, str]] = {
    "training_mean": "the training mean",
    "same_group_mean": "the same-group mean",
    "ridge": "ridge regression",
}

_FUSION_NAMES: Final[Mapping[str, str]] = {
    "cross_attention": "cross-attention",
    "concat": "plain concatenation",
    "gated": "gated fusion",
    "late": "late fusion",
    "static_only": "the static stream alone",
    "dynamic_only": "the dynamic stream alone",
}


def metric_value(metric: str, value: float) -> str:
    """Return the value of a metric with the decimals that are told of it."""
    return decimal(value, _DIGITS.get(metric, 3))


def decimal(value: float, digits: int) -> str:
    """Return a number with `digits` decimals and a true minus sign; never `−0`."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def interval(metric: str, estimate: Interval) -> str:
    """Return the interval of an estimate, e.g. `[0.930, 0.936]`; empty where it has none."""
    if not estimate.exists:
        return ""
    low, high = (metric_value(metric, end) for end in (estimate.low, estimate.high))
    return f"[{low},{_NBSP}{high}]"


def with_interval(metric: str, estimate: Interval) -> str:
    """Return an estimate and its interval, e.g. `0.933 [0.930, 0.936]`."""
    ends = interval(metric, estimate)
    value = metric_value(metric, estimate.value)
    return f"{value}{_NBSP}{ends}" if ends else value


def difference(metric: str, estimate: Interval) -> tuple[str, str]:
    """Return a difference of two scores and its interval, with as many decimals as it needs.

    Two scores may be alike in all the decimals that are told of them, and still differ.
    """
    digits = _DIGITS.get(metric, 3)
    points = (estimate.value, estimate.low, estimate.high)
    largest = max(abs(point) for point in points if math.isfinite(point))
    while 0 < largest < 10 ** (1 - digits) and digits < _MAX_DIGITS:
        digits += 1
    value = decimal(estimate.value, digits)
    if not estimate.exists:
        return value, ""
    return value, f"[{decimal(estimate.low, digits)},{_NBSP}{decimal(estimate.high, digits)}]"


def baseline_name(name: str) -> str:
    """Return what a baseline is called in a sentence."""
    return _BASELINE_NAMES.get(name, name.replace("_", " "))


def fusion_name(name: str) -> str:
    """Return what a fusion is called in a sentence."""
    return _FUSION_NAMES.get(name, name.replace("_", " "))


def count(number: int, noun: str = "") -> str:
    """Return a number, or that many of a noun, e.g. `4,800 clips` or `1 clip`."""
    if not noun:
        return f"{number:,}"
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """Return a share in [0, 1] as a percentage; a small one is not rounded to 0 %."""
    digits = ".0f" if share >= 0.1 or share == 0 else ".2g"
    return f"{100 * share:{digits}}{_NBSP}%"


def duration(seconds: float) -> str:
    """Return a time as a person says it, e.g. `12 ms`, `1.4 s` or `1 h 3 min`."""
    if seconds < 1:
        return f"{1000 * seconds:.3g}{_NBSP}ms"
    if seconds < 59.95:
        return f"{seconds:.3g}{_NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (0 if hours else rest, "s"))
    return _NBSP.join(f"{number}{_NBSP}{unit}" for number, unit in parts if number)


def listing(items: Sequence[str]) -> str:
    """Return items as a sentence lists them, e.g. `a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def shape(sizes: Sequence[int]) -> str:
    """Return an array shape, e.g. `6,000 × 8 × 32`."""
    return " × ".join(count(size) for size in sizes)


def plain(value: Any) -> str:
    """Return any value of a JSON or YAML file on one line."""
    if value is None or (isinstance(value, str | list | tuple | Mapping) and not value):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}" if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    return str(value)


def encoder_name(encoder: Any) -> str:
    """Return the name that the description of an encoder gives itself, or all that it says."""
    return plain(encoder["name"] if isinstance(encoder, Mapping) and "name" in encoder else encoder)


def sentence(text: str) -> str:
    """Return `text` with a capital first letter; the rest stays as it is."""
    return text[:1].upper() + text[1:]
