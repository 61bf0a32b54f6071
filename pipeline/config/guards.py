"""What a number in a configuration may be: one line refuses it, by its name and its value."""

import math
import re

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


def check_registered_model(name: str, value: str) -> None:
    """Check that MLflow's registry accepts `value` as the name of a model, or that it is empty.

    Raises:
        ConfigError: If it does not.
    """
    if re.search("[/:]", value) or value == "." or value.startswith("..") or value.isspace():
        raise ConfigError(
            f"{name}={value!r} cannot be the name of a model in MLflow's registry. "
            "Give a name without / and :, for instance personality."
        )


def check_alias(name: str, value: str) -> None:
    """Check that MLflow's registry accepts `value` as an alias, or that it is empty.

    Raises:
        ConfigError: If it does not.
    """
    is_reserved = value.lower() == "latest" or re.fullmatch(r"[vV]\d+", value)
    if is_reserved or not re.fullmatch(r"[\w-]{0,255}", value):
        raise ConfigError(
            f"{name}={value!r} cannot be an alias in MLflow's registry. Use letters, digits, _ "
            "and -; `latest` and `v1`, `v2`, ... are reserved. For instance: champion."
        )
