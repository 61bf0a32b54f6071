"""Search space: settings with their values and conditions."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

import optuna

from pipeline.config.loading import with_overrides
from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import ConfigError

FUSION_DIM: Final = "model.fusion_dim"
NUM_HEADS: Final = "model.num_heads"
RANK: Final = " (rank)"
"""Suffix of the name of the Optuna parameter for the relative rank of the number of heads."""

_NUM_EPOCHS: Final = "training.num_epochs"
_NUM_RANDOM_PROPOSALS = 300
"""Number of random proposals that `Space.check` tests."""

Label = str | int | float | bool
"""Plain value that represents a choice in the storage of the study."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """Setting that a search varies. Its values are a list of choices or a numeric range."""

    name: str
    """Dotted name of the setting."""
    kind: Literal["categorical", "int", "float"]
    choices: tuple[Any, ...] = ()
    """Values of a categorical parameter."""
    low: float | None = None
    """Smallest value of a range."""
    high: float | None = None
    """Largest value of a range, inclusive."""
    step: float | None = None
    """Distance between neighbouring values, starting at `low`; None if all values are valid."""
    log: bool = False
    """True to sample on a logarithmic scale."""
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Other parameter -> values for which this parameter is active; empty if always active."""

    @property
    def boundary_values(self) -> tuple[Any, ...]:
        """All choices, or the two limits of the range."""
        return self.choices if self.kind == "categorical" else (self.low, self.high)

    @property
    def values(self) -> tuple[Any, ...] | None:
        """All values, or None for a range of floats."""
        if self.kind == "categorical":
            return self.choices
        if self.kind == "float" or self.low is None or self.high is None:
            return None
        return tuple(range(int(self.low), int(self.high) + 1, int(self.step or 1)))

    def is_active(self, overrides: Mapping[str, Any]) -> bool:
        """Return True if the other parameters meet the condition of this parameter."""
        return all(
            name in overrides and overrides[name] in allowed for name, allowed in self.when.items()
        )

    def suggest(self, trial: optuna.trial.BaseTrial) -> Any:
        """Return the value that Optuna proposes."""
        if self.kind == "categorical":
            by_label = {label(choice): choice for choice in self.choices}
            return by_label[trial.suggest_categorical(self.name, tuple(by_label))]
        low, high = self._range()
        if self.kind == "int":
            step = int(self.step or 1)
            return trial.suggest_int(self.name, int(low), int(high), step=step, log=self.log)
        value = trial.suggest_float(self.name, low, high, step=self.step, log=self.log)
        # Optuna adds steps to `low`, so 0.3 could become 0.30000000000000004.
        return value if self.step is None else round(value, _num_decimals(low, self.step))

    def allows(self, value: Any) -> bool:
        """Return True if the value is a choice or a valid value of the range."""
        if self.kind == "categorical":
            return any(_is_same(value, choice) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low, high = self._range()
        return low <= value <= high and (self.step is None or is_on_step(value, low, self.step))

    def to_json(self) -> dict[str, Any]:
        """Return the parameter in the format of a space file."""
        if self.kind == "categorical":
            described: dict[str, Any] = {"choices": list(self.choices)}
        else:
            described = {"low": self.low, "high": self.high, "step": self.step}
            described["log"] = self.log or None
        described["when"] = {name: list(values) for name, values in self.when.items()} or None
        return {key: value for key, value in described.items() if value is not None}

    def _range(self) -> tuple[float, float]:
        if self.low is None or self.high is None:
            raise ValueError(f"{self.name}: expected a range; got {self.kind}")
        return self.low, self.high


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """Parameters of a search. After `check`, every proposal gives a valid configuration."""

    name: str
    parameters: tuple[Parameter, ...]
    """Each parameter comes after the parameters that it depends on."""
    base: ExperimentConfig
    """Base configuration, which each proposal changes."""
    path: Path
    """Path of the space file, for error messages."""

    def propose(self, trial: optuna.trial.BaseTrial) -> dict[str, Any]:
        """Return the proposed values of all active parameters, by dotted name.

        The number of heads always divides the fusion dimension.
        """
        overrides: dict[str, Any] = {}
        for parameter in self.parameters:
            if not parameter.is_active(overrides):
                continue
            if self._is_ranked(parameter):
                # Optuna needs the same choices in every trial. The valid numbers of heads
                # differ between trials, so Optuna samples their relative rank in [0, 1].
                counts = self._head_counts(parameter, overrides)
                rank = trial.suggest_float(NUM_HEADS + RANK, 0.0, 1.0)
                overrides[NUM_HEADS] = counts[min(int(rank * len(counts)), len(counts) - 1)]
            else:
                overrides[parameter.name] = parameter.suggest(trial)
        return overrides

    def config(self, overrides: Mapping[str, Any]) -> ExperimentConfig:
        """Return the base configuration with the values of a proposal.

        Raises:
            ConfigError: If the configuration is invalid.
        """
        return with_overrides(self.base, overrides, source=str(self.path))

    def defaults(self) -> dict[str, Any]:
        """Return the values of the base configuration as a proposal."""
        overrides: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.is_active(overrides):
                keys = parameter.name.split(".")
                overrides[parameter.name] = functools.reduce(getattr, keys, self.base)
        return overrides

    def encode(self, overrides: Mapping[str, Any]) -> dict[str, Label] | None:
        """Return the Optuna parameters of a proposal, or None if the space does not contain it."""
        encoded: dict[str, Label] = {}
        for parameter in self.parameters:
            if not parameter.is_active(overrides):
                continue
            value = overrides[parameter.name]
            if self._is_ranked(parameter):
                counts = self._head_counts(parameter, overrides)
                if value not in counts:
                    return None
                encoded[NUM_HEADS + RANK] = (counts.index(value) + 0.5) / len(counts)
            elif parameter.allows(value):
                encoded[parameter.name] = label(value)
            else:
                return None
        return encoded

    def check(self) -> None:
        """Check one proposal for each boundary value of each parameter, and random proposals.

        Raises:
            ConfigError: If a proposal gives an invalid configuration.
        """
        heads = self._find(NUM_HEADS)
        for dim in self._fusion_dims():
            if heads and not self._head_counts(heads, {FUSION_DIM: dim}):
                raise ConfigError(
                    f"{self.path}: {NUM_HEADS}: none of {list(heads.values or ())} divides "
                    f"{FUSION_DIM} {dim}. Add a divisor, for instance 1."
                )
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for parameter in self.parameters:
            for value in parameter.boundary_values:
                fixed = {**self._conditions(parameter), parameter.name: value}
                study.enqueue_trial({name: label(each) for name, each in fixed.items()})
                self._check_proposal(study.ask())
        for _ in range(_NUM_RANDOM_PROPOSALS):
            self._check_proposal(study.ask())

    @property
    def max_epochs(self) -> int:
        """Maximum number of epochs of a fit, over all proposals."""
        searched = self._find(_NUM_EPOCHS)
        base_epochs = self.base.training.num_epochs
        if searched is None:
            return base_epochs
        return int(max(*searched.boundary_values, base_epochs if searched.when else 1))

    def to_json(self) -> dict[str, Any]:
        """Return the space in the format of a space file, with dotted names."""
        return {
            "name": self.name,
            "parameters": {each.name: each.to_json() for each in self.parameters},
        }

    def _check_proposal(self, trial: optuna.trial.BaseTrial) -> None:
        overrides = self.propose(trial)
        try:
            self.config(overrides)
        except ConfigError as error:
            listed = ", ".join(f"{name} {value}" for name, value in overrides.items())
            raise ConfigError(
                f"{error} The space can propose this configuration ({listed}). Narrow the range, "
                "or give `when: {other: value}`."
            ) from None

    def _conditions(self, parameter: Parameter) -> dict[str, Any]:
        """Return values of other parameters for which this parameter is active."""
        conditions: dict[str, Any] = {}
        for name, allowed in parameter.when.items():
            other = self._find(name)
            conditions |= {} if other is None else self._conditions(other)
            conditions[name] = allowed[0]
        return conditions

    def _is_ranked(self, parameter: Parameter) -> bool:
        """Return True if the valid numbers of heads depend on the fusion dimension."""
        return parameter.name == NUM_HEADS and any(
            dim % count for dim in self._fusion_dims() for count in parameter.values or ()
        )

    def _head_counts(self, heads: Parameter, overrides: Mapping[str, Any]) -> tuple[int, ...]:
        """Return the numbers of heads that divide the fusion dimension, in ascending order."""
        dim = overrides.get(FUSION_DIM, self.base.model.fusion_dim)
        return tuple(sorted(count for count in heads.values or () if dim % count == 0))

    def _fusion_dims(self) -> tuple[int, ...]:
        searched = self._find(FUSION_DIM)
        base_dim = self.base.model.fusion_dim
        if searched is None:
            return (base_dim,)
        return (*(searched.values or ()), *((base_dim,) if searched.when else ()))

    def _find(self, name: str) -> Parameter | None:
        return next((each for each in self.parameters if each.name == name), None)


def label(choice: Any) -> Label:
    """Return the label of a choice: the choice itself, or JSON text for a list or mapping."""
    return choice if isinstance(choice, Label) else json.dumps(choice, sort_keys=True)


def is_on_step(value: float, low: float, step: float) -> bool:
    """Return True if `value - low` is a multiple of `step`, up to rounding errors."""
    steps = (value - low) / step
    return abs(steps - round(steps)) < 1e-6


def describe_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Compare two spaces in JSON form. Return one line for each parameter that differs."""
    old, new = before["parameters"], now["parameters"]
    lines = []
    for name in sorted({*old, *new}):
        if name not in new:
            lines.append(f"{name} is no longer searched")
        elif name not in old:
            lines.append(f"{name} was not searched")
        elif old[name] != new[name]:
            lines.append(f"{name} was {_listed(old[name])}, now {_listed(new[name])}")
    return lines


def _num_decimals(*values: float) -> int:
    """Return the largest number of decimals of the values as typed, e.g. 2 for 0.25 and 1.0."""
    exponents = [Decimal(repr(value)).normalize().as_tuple().exponent for value in values]
    return max(0, *(-exponent for exponent in exponents if isinstance(exponent, int)))


def _is_same(first: Any, second: Any) -> bool:
    # In Python, `True == 1`. In a configuration, the two values differ.
    return isinstance(first, bool) == isinstance(second, bool) and bool(first == second)


def _listed(parameter: Mapping[str, Any]) -> str:
    return "(" + ", ".join(f"{key} {value}" for key, value in parameter.items()) + ")"
