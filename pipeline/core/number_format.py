"""Format numbers as text: metrics, percentages, durations and counts.

Negative numbers have a true minus sign. NaN and infinity become `undefined`.
"""

import math
from collections.abc import Mapping
from typing import Final

METRIC_NAMES: Final[Mapping[str, str]] = {
    "loss": "loss",
    "accuracy": "accuracy",
    "mae": "MAE",
    "mse": "MSE",
    "r2": "R²",
    "pcc": "PCC",
    "ccc": "CCC",
}
"""Metric -> its name in a sentence."""

METRIC_LABELS: Final[Mapping[str, str]] = {
    "loss": "Loss",
    "accuracy": "Accuracy (1 − MAE)",
    "mae": "MAE (score units)",
    "mse": "MSE (score units²)",
    "r2": "R²",
    "pcc": "Pearson correlation",
    "ccc": "Concordance (CCC)",
}
"""Metric -> its axis label in a figure."""

_METRIC_DECIMALS: Final[Mapping[str, int]] = {"accuracy": 4, "mae": 4, "mse": 5}
"""Metric -> number of decimals; other metrics have three decimals."""

_MAX_DECIMALS: Final = 7

_AXIS_UNITS: Final = ((1.0, 1e3, "ms"), (120.0, 1.0, "s"), (7200.0, 1 / 60, "min"))
"""Each tuple contains: upper limit in seconds, factor from seconds to the unit, unit."""


def number(value: float) -> str:
    """Format a value with three significant digits. A longer integer part keeps all its digits."""
    if not math.isfinite(value):
        return "undefined"
    if value == 0:
        return "0"
    # The value is rounded first, so that 0.09996 becomes 0.100 and not 0.1000.
    magnitude = math.floor(math.log10(float(f"{abs(value):.2e}")))
    decimals = max(0, 2 - magnitude)
    text = f"{value:.1e}" if decimals > 6 else f"{value:,.{decimals}f}"
    return _with_true_minus(text)


def decimal(value: float, digits: int, *, sign: bool = False) -> str:
    """Format a value with `digits` decimals. A value that rounds to zero has no sign.

    If `sign` is true, positive results have a plus sign.
    """
    if not math.isfinite(value):
        return "undefined"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else _with_true_minus(text)


def metric_value(metric: str, value: float) -> str:
    """Format the value of a metric. The metric sets the number of decimals."""
    if metric == "loss":
        return number(value)
    return decimal(value, _METRIC_DECIMALS.get(metric, 3))


def metric_differences(metric: str, *values: float) -> tuple[str, ...]:
    """Format differences between values of a metric with a common number of decimals.

    The difference with the largest absolute value sets the number of decimals. If more than seven
    decimals would be needed, each difference has three significant digits instead.
    """
    digits = _METRIC_DECIMALS.get(metric, 3)
    largest = max(abs(value) for value in values)
    while 0 < largest < 10 ** (1 - digits):
        digits += 1
    if digits > _MAX_DECIMALS:
        return tuple(map(number, values))
    return tuple(decimal(value, digits) for value in values)


def percent(share: float, digits: int | None = None) -> str:
    """Format a fraction in [0, 1] as a percentage with `digits` decimals.

    If `digits` is None, percentages below 10 have up to two significant digits, and larger
    percentages have no decimals. However, percentages from 99.5 to 100 have up to four significant
    digits, so that, for example, 99.96 % does not become 100 %.
    """
    if not math.isfinite(share):
        return "undefined"
    value = 100 * share
    if digits is not None:
        text = decimal(value, digits)
    elif 0 < value < 9.95:
        text = f"{value:.2g}"
    elif 99.5 <= value < 100:
        text = f"{value:.4g}"
    else:
        text = f"{value:.0f}"
    return f"{text} %"


def duration(seconds: float) -> str:
    """Format a time in suitable units, e.g. `12 ms`, `1.4 s` or `1 h 3 min`."""
    if not math.isfinite(seconds):
        return "undefined"
    if seconds < 0.9995:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (0 if hours else rest, "s"))
    return " ".join(f"{value} {unit}" for value, unit in parts if value)


def axis_unit(seconds: float) -> tuple[float, str]:
    """Choose the unit of a time axis from its maximum in seconds.

    Returns:
        Factor from seconds to the unit, and the unit: ms, s, min or h.
    """
    for limit, factor, unit in _AXIS_UNITS:
        if seconds < limit:
            return factor, unit
    return 1 / 3600, "h"


def count(number_of_items: int, noun: str = "") -> str:
    """Format a count with an optional noun, e.g. `4,800`, `1 clip` or `1,520 steps`."""
    if not noun:
        return f"{number_of_items:,}"
    return f"{number_of_items:,} {noun}{'' if number_of_items == 1 else 's'}"


def _with_true_minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
