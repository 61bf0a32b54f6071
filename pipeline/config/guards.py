"""What a number in a configuration may be: one line refuses it, by its name and its value."""

import math

from pipeline.core.errors import ConfigError


# NaN compares false with everything, so each guard says what it accepts.
def at_least(name: str, value: float, low: float) -> None:
    """Refuse a value below `low`."""
    if not low <= value < math.inf:
        raise ConfigError(f"{name} must be at least {low}; got {value}.")


def above_zero(name: str, value: float) -> None:
    """Refuse a value that is not above 0."""
    if not 0 < value < math.inf:
        raise ConfigError(f"{name} must be above 0; got {value}.")


def within(name: str, value: float, low: float, high: float) -> None:
    """Refuse a value outside of [low, high]."""
    if not low <= value <= high:
        raise ConfigError(f"{name} must lie in [{low}, {high}]; got {value}.")
