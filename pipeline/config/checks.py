"""Base class of configuration sections, and checks of single settings.

The range of a number is part of its type: `Annotated[int, Interval(ge=1)]`. pydantic checks the
types and ranges in a file. `Section` checks the ranges of sections that Python code creates. Both
checks give the same error messages.
"""

import functools
import math
import re
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from annotated_types import Interval

from pipeline.core.errors import ConfigError

_PYDANTIC_CONFIG: Final = {
    "extra": "forbid",
    "coerce_numbers_to_str": True,
    "allow_inf_nan": False,
}


class Section:
    """Base class of all sections. A section is a frozen dataclass with a range for each number."""

    __slots__ = ()
    __pydantic_config__: ClassVar[Any] = _PYDANTIC_CONFIG

    section: ClassVar[str] = ""
    """Dotted name of the section; "" for the whole configuration."""

    def __post_init__(self) -> None:
        for name, allowed in ranges_of(typing.cast("Any", type(self))).items():
            value = getattr(self, name)
            if not (math.isfinite(value) and _contains(allowed, value)):
                place = f"{self.section}.{name}".lstrip(".")
                raise ConfigError(f"{place} {range_message(allowed, value)}")
        self._check()

    def _check(self) -> None:
        """Check that the settings of the section are consistent with each other."""


@functools.cache
def ranges_of(schema: Any) -> Mapping[str, Interval]:
    """Return the allowed range of each numeric field, by field name."""
    hints = typing.get_type_hints(schema, include_extras=True)
    return {
        name: part
        for name, hint in hints.items()
        for part in getattr(hint, "__metadata__", ())
        if isinstance(part, Interval)
    }


def range_message(allowed: Interval, value: Any) -> str:
    """Return the error message for a value outside its range, without the name of the setting."""
    text = range_text(allowed)
    return f"must {'lie' if text.startswith('in ') else 'be'} {text}; got {value}."


def range_text(allowed: Interval) -> str:
    """Return a range as text: `above 0`, `at least 1`, `in [0, 1)`."""
    low = allowed.gt if allowed.ge is None else allowed.ge
    high = allowed.lt if allowed.le is None else allowed.le
    if high is None:
        return f"{'above' if allowed.ge is None else 'at least'} {low}"
    left, right = "(" if allowed.ge is None else "[", ")" if allowed.le is None else "]"
    return f"in {left}{low}, {high}{right}"


def check_num_folds(name: str, value: int) -> None:
    """Check a number of cross-validation folds.

    Raises:
        ConfigError: If the number is negative or 1.
    """
    if value < 0 or value == 1:
        raise ConfigError(f"{name} must be 0 (one split) or at least 2; got {value}.")


def check_registered_model(name: str, value: str) -> None:
    """Check that `value` is empty or a valid model name in MLflow's registry.

    Raises:
        ConfigError: If MLflow rejects the name.
    """
    if re.search("[/:]", value) or value == "." or value.startswith("..") or value.isspace():
        raise ConfigError(
            f"{name}={value!r} cannot be the name of a model in MLflow's registry. "
            "Give a name without / and :, for instance personality."
        )


def check_alias(name: str, value: str) -> None:
    """Check that `value` is empty or a valid alias in MLflow's registry.

    Raises:
        ConfigError: If MLflow rejects the alias.
    """
    is_reserved = value.lower() == "latest" or re.fullmatch(r"[vV]\d+", value)
    if is_reserved or not re.fullmatch(r"[\w-]{0,255}", value):
        raise ConfigError(
            f"{name}={value!r} cannot be an alias in MLflow's registry. Use letters, digits, _ "
            "and -; `latest` and `v1`, `v2`, ... are reserved. For instance: champion."
        )


def _contains(allowed: Interval, value: Any) -> bool:
    low = value > allowed.gt if allowed.ge is None else value >= allowed.ge
    if allowed.le is None and allowed.lt is None:
        return bool(low)
    return bool(low and (value < allowed.lt if allowed.le is None else value <= allowed.le))
