"""Format lists, names and intervals for the text of the report."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.core import number_format
from pipeline.core.number_format import METRIC_NAMES, count, metric_differences, metric_value
from pipeline.records.evaluation import Interval

_NBSP: Final = "\N{NO-BREAK SPACE}"

UNKNOWN_ENCODERS: Final = ("unknown", "", None)
"""Values of a feature set that does not name its encoder."""

_NAMES: Final[Mapping[str, str]] = {
    "training_mean": "the training mean",
    "same_group_mean": "the same-group mean",
    "ridge": "ridge regression",
    "cross_attention": "cross-attention",
    "concat": "concatenation",
    "gated": "gated fusion",
    "late": "late fusion",
    "static_only": "static stream only",
    "dynamic_only": "dynamic stream only",
}


def interval(metric: str, estimate: Interval) -> str:
    """Format the interval of a metric, e.g. `[0.930, 0.936]`; "" if there is none."""
    if not estimate.exists:
        return ""
    low, high = (metric_value(metric, end) for end in (estimate.low, estimate.high))
    return f"[{low},{_NBSP}{high}]"


def with_interval(metric: str, estimate: Interval) -> str:
    """Format a metric and its interval, e.g. `0.933 [0.930, 0.936]`."""
    ends = interval(metric, estimate)
    value = metric_value(metric, estimate.value)
    return f"{value}{_NBSP}{ends}" if ends else value


def difference(metric: str, estimate: Interval) -> tuple[str, str]:
    """Return two texts: a score difference, and its interval ("" if there is none)."""
    if not estimate.exists:
        (value,) = metric_differences(metric, estimate.value)
        return value, ""
    value, low, high = metric_differences(metric, estimate.value, estimate.low, estimate.high)
    return value, f"[{low},{_NBSP}{high}]"


def display_name(name: str) -> str:
    """Return the name of a baseline or a fusion for use in a sentence."""
    return _NAMES.get(name, name.replace("_", " "))


def percent(share: float, digits: int | None = None) -> str:
    """Format a fraction in [0, 1] as a percentage without a line break."""
    return number_format.percent(share, digits).replace(" ", _NBSP)


def duration(seconds: float) -> str:
    """Format a duration without a line break, e.g. `1 h 3 min`."""
    return number_format.duration(seconds).replace(" ", _NBSP)


def listing(items: Sequence[str]) -> str:
    """Join items with commas and "and", e.g. `a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def describe_values(sizes: Sequence[int]) -> str:
    """Describe the values of a stream in one clip, e.g. `8 steps of 32 values`.

    `sizes` is the shape of one clip: (D,), (T, D), or (T, height, width, channels).
    """
    *steps, size = sizes
    if not steps:
        return count(size, "value")
    pixels = " × ".join(map(count, sizes[1:]))
    values = count(size, "value") if len(steps) == 1 else f"{pixels} values"
    return f"{count(sizes[0], 'step')} of {values}"


def monitor_name(monitor: str) -> str:
    """Return the name of a monitored metric, e.g. `validation MAE` for `val_mae`."""
    subset = "validation" if monitor.startswith("val_") else "training"
    metric = monitor.removeprefix("val_")
    return f"{subset} {METRIC_NAMES.get(metric, metric)}"


def format_value(value: Any) -> str:
    """Format any JSON or YAML value on one line."""
    if value is None or (isinstance(value, str | list | tuple | Mapping) and not value):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}" if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {format_value(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(format_value(item) for item in value)
    return str(value)


def encoder_name(encoder: Any) -> str:
    """Return the `name` of an encoder, or the full description if it has no name; "" if unknown."""
    if encoder in UNKNOWN_ENCODERS:
        return ""
    return format_value(
        encoder["name"] if isinstance(encoder, Mapping) and "name" in encoder else encoder
    )


def capitalized(text: str) -> str:
    """Return the text with a capital first letter."""
    return text[:1].upper() + text[1:]
