"""How numbers and names are written in figures, captions and alt texts."""

import math
from collections.abc import Mapping
from typing import Final

METRIC_LABELS: Final[Mapping[str, str]] = {
    "loss": "Loss",
    "accuracy": "Accuracy (1 − MAE)",
    "mae": "MAE (score units)",
    "mse": "MSE (score units²)",
    "r2": "R²",
    "pcc": "Pearson correlation",
    "ccc": "Concordance (CCC)",
}
"""Label of an axis that shows a metric."""

METRIC_NAMES: Final[Mapping[str, str]] = {
    "loss": "loss",
    "accuracy": "accuracy",
    "mae": "MAE",
    "mse": "MSE",
    "r2": "R²",
    "pcc": "PCC",
    "ccc": "CCC",
}
"""Short name of a metric, within a sentence."""

_UNITS: Final = ((1.0, 1e3, "ms"), (120.0, 1.0, "s"), (7200.0, 1 / 60, "min"))


def number(value: float) -> str:
    """Return a value with three significant digits, or with all those before its point."""
    if not math.isfinite(value):
        return "undefined"
    if value == 0:
        return "0"
    # Its magnitude is taken of the rounded value: 0.09996 is 0.100, and not 0.1000.
    magnitude = math.floor(math.log10(float(f"{abs(value):.2e}")))
    decimals = max(0, 2 - magnitude)
    if decimals > 6:
        return f"{value:.1e}".replace("-", "−")
    return f"{value:,.{decimals}f}".replace("-", "−")


def signed(value: float) -> str:
    """Return a difference of scores with its sign and three decimals."""
    text = f"{value:+.3f}".replace("-", "−")
    return "0.000" if text[1:] == "0.000" else text


def time_unit(seconds: float) -> tuple[float, str]:
    """Return the factor and the unit in which a time reads well.

    Args:
        seconds: The longest time to be shown.

    Returns:
        What seconds are multiplied with, and the unit: ms, s, min or h.
    """
    for limit, factor, unit in _UNITS:
        if seconds < limit:
            return factor, unit
    return 1 / 3600, "h"


def duration(seconds: float) -> str:
    """Return a time in words, e.g. `12.3 ms` or `4.05 min`."""
    if not math.isfinite(seconds):
        return "undefined"
    factor, unit = time_unit(seconds)
    return f"{number(seconds * factor)} {unit}"


def percent(share: float) -> str:
    """Return a share in [0, 1] as a percentage; small ones keep a digit."""
    if not math.isfinite(share):
        return "undefined"
    return f"{share * 100:.1f} %" if 0 < share < 0.095 else f"{share * 100:.0f} %"


def count(number_of: int, noun: str) -> str:
    """Return a count with its noun, e.g. `1 epoch` or `1,520 steps`."""
    return f"{number_of:,} {noun}" + "s" * (number_of != 1)


def keeping_end(name: str, max_length: int) -> str:
    """Return a name that fits into its place; a longer one keeps its end, which tells it apart."""
    return name if len(name) <= max_length else f"…{name[1 - max_length :]}"
