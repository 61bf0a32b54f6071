"""One dimension of a search space: a setting, and the values that are tried for it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Label = str | int | float | bool
"""What stands for a choice in the storage, which takes plain values only."""


class Suggest(Protocol):
    """What proposes values: the part of `optuna.Trial` that a space needs."""

    def suggest_categorical(self, name: str, choices: Sequence[Label]) -> Label:
        """Return one of the choices."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        """Return a whole number in [low, high]."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None, log: bool
    ) -> float:
        """Return a number in [low, high]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """A setting that is searched: one of several choices, or a number between two others."""

    name: str
    """Dotted name of the setting."""
    kind: Literal["categorical", "int", "float"]
    choices: tuple[Any, ...] = ()
    """Values of a categorical one."""
    low: float | None = None
    """Smallest number of the others."""
    high: float | None = None
    """Largest number, which is tried too."""
    step: float | None = None
    """Distance of neighbours, counted from `low`; None for every number."""
    log: bool = False
    """Try every order of magnitude equally often."""
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Values of other parameters with which this one is tried; empty for always."""

    @property
    def edges(self) -> tuple[Any, ...]:
        """Every choice, or both ends of the range: what a check has to try."""
        return self.choices if self.kind == "categorical" else (self.low, self.high)

    @property
    def values(self) -> tuple[Any, ...] | None:
        """Every value that can be proposed; None where they cannot be counted."""
        if self.kind == "categorical":
            return self.choices
        if self.kind == "float" or self.low is None or self.high is None:
            return None
        return tuple(range(int(self.low), int(self.high) + 1, int(self.step or 1)))

    def is_active(self, overrides: Mapping[str, Any]) -> bool:
        """Return whether the parameter is tried beside these values of others."""
        return all(
            name in overrides and overrides[name] in allowed for name, allowed in self.when.items()
        )

    def suggest(self, source: Suggest) -> Any:
        """Ask for a value."""
        if self.kind == "categorical":
            by_label = {label(choice): choice for choice in self.choices}
            return by_label[source.suggest_categorical(self.name, tuple(by_label))]
        assert self.low is not None  # noqa: S101 (for the type checker)
        assert self.high is not None  # noqa: S101
        if self.kind == "int":
            step = int(self.step or 1)
            return source.suggest_int(
                self.name, int(self.low), int(self.high), step=step, log=self.log
            )
        return source.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)

    def holds(self, value: Any) -> bool:
        """Return whether a value can be proposed."""
        if self.kind == "categorical":
            return any(_is_same(value, choice) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        assert self.low is not None  # noqa: S101
        assert self.high is not None  # noqa: S101
        if not self.low <= value <= self.high:
            return False
        return self.step is None or is_on_step(value, self.low, self.step)

    def to_json(self) -> dict[str, Any]:
        """Return the parameter as it is written in a file."""
        if self.kind == "categorical":
            described: dict[str, Any] = {"choices": list(self.choices)}
        else:
            described = {"low": self.low, "high": self.high}
            described |= {} if self.step is None else {"step": self.step}
            described |= {"log": True} if self.log else {}
        if self.when:
            described["when"] = {name: list(values) for name, values in self.when.items()}
        return described


def label(choice: Any) -> Label:
    """Return what stands for a choice: itself, or a mix such as of losses as JSON."""
    return choice if isinstance(choice, Label) else json.dumps(choice, sort_keys=True)


def is_on_step(value: float, low: float, step: float) -> bool:
    """Return whether a number is a whole number of steps above another, but for rounding."""
    steps = (value - low) / step
    return abs(steps - round(steps)) < 1e-6


def _is_same(first: Any, second: Any) -> bool:
    """Compare two settings; Python takes True for 1, a configuration does not."""
    return isinstance(first, bool) == isinstance(second, bool) and bool(first == second)
