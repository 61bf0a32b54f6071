"""A search space: which settings are tried, with which values, beside which others."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.config.loading import with_overrides
from pipeline.config.schema import ExperimentConfig
from pipeline.core import seeds
from pipeline.core.errors import ConfigError
from pipeline.search.space.parameter import Label, Parameter, Suggest, label
from pipeline.search.study.random_proposals import Draws

FUSION_DIM: Final = "model.fusion_dim"
NUM_HEADS: Final = "model.num_heads"
RANK: Final = " (rank)"
"""Ends the name under which a head count is proposed by its place among those that divide."""
NUM_EPOCHS: Final = "training.num_epochs"

_NUM_DRAWS = 300
"""Proposals that a space is checked with before the first trial."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """Settings to try. Whatever it proposes is a valid configuration."""

    name: str
    parameters: tuple[Parameter, ...]
    """In an order in which every one comes after those it depends on."""
    base: ExperimentConfig
    """The configuration that is changed."""
    path: Path
    """Where it was read from, to be named in errors."""

    def propose(self, source: Suggest) -> dict[str, Any]:
        """Return values for the settings, by dotted name.

        A parameter whose condition is not met is left out. Of the head counts only those
        are proposed that divide the fusion dimension.
        """
        overrides: dict[str, Any] = {}
        for parameter in self.parameters:
            if not parameter.is_active(overrides):
                continue
            if parameter.name == NUM_HEADS and not self._all_heads_divide(parameter):
                # Optuna wants the same choices in every trial: a place among the counts that
                # divide is one, and neighbours stay neighbours.
                counts = self._heads(parameter, overrides)
                rank = source.suggest_float(NUM_HEADS + RANK, 0.0, 1.0, step=None, log=False)
                overrides[NUM_HEADS] = counts[min(int(rank * len(counts)), len(counts) - 1)]
            else:
                overrides[parameter.name] = parameter.suggest(source)
        return overrides

    def config(self, overrides: Mapping[str, Any]) -> ExperimentConfig:
        """Return the configuration that a proposal makes of the base.

        Raises:
            ConfigError: If it is not valid.
        """
        return with_overrides(self.base, overrides, source=str(self.path))

    def defaults(self) -> dict[str, Any]:
        """Return the base as a proposal."""
        overrides: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.is_active(overrides):
                overrides[parameter.name] = _setting(self.base, parameter.name)
        return overrides

    def encode(self, overrides: Mapping[str, Any]) -> dict[str, Label] | None:
        """Return what has to be proposed for these values; None where the space lacks them."""
        encoded: dict[str, Label] = {}
        for parameter in self.parameters:
            if not parameter.is_active(overrides):
                continue
            value = overrides[parameter.name]
            if parameter.name == NUM_HEADS and not self._all_heads_divide(parameter):
                counts = self._heads(parameter, overrides)
                if value not in counts:
                    return None
                encoded[NUM_HEADS + RANK] = (counts.index(value) + 0.5) / len(counts)
            elif parameter.holds(value):
                encoded[parameter.name] = label(value)
            else:
                return None
        return encoded

    def check(self) -> None:
        """Try proposals from all over the space, its edges included, before a trial does.

        Raises:
            ConfigError: If one of them is no valid configuration.
        """
        self._check_heads()
        generator = seeds.generator(0, "space")
        for parameter in self.parameters:
            for edge in parameter.edges:
                given = {**self._conditions(parameter), parameter.name: edge}
                self._check_proposal(Draws(generator, given))
        for _ in range(_NUM_DRAWS):
            self._check_proposal(Draws(generator, {}))

    @property
    def most_epochs(self) -> int:
        """The most epochs that a fit can have."""
        searched = self._find(NUM_EPOCHS)
        at_base = self.base.training.num_epochs
        if searched is None:
            return at_base
        return int(max(*searched.edges, at_base if searched.when else 1))

    def to_json(self) -> dict[str, Any]:
        """Return the space as it is written in a file, names in full."""
        return {
            "name": self.name,
            "parameters": {each.name: each.to_json() for each in self.parameters},
        }

    def _check_proposal(self, source: Suggest) -> None:
        overrides = self.propose(source)
        try:
            self.config(overrides)
        except ConfigError as error:
            listed = ", ".join(f"{name} {value}" for name, value in overrides.items())
            raise ConfigError(
                f"{error} The space can propose this ({listed}): narrow the range, or give "
                "`when: {other: value}`."
            ) from None

    def _conditions(self, parameter: Parameter) -> dict[str, Any]:
        """Return values of other parameters with which this one is tried."""
        conditions: dict[str, Any] = {}
        for name, allowed in parameter.when.items():
            other = self._find(name)
            conditions |= {} if other is None else self._conditions(other)
            conditions[name] = allowed[0]
        return conditions

    def _check_heads(self) -> None:
        heads = self._find(NUM_HEADS)
        if heads is None:
            return
        for dim in self._fusion_dims():
            if not self._heads(heads, {FUSION_DIM: dim}):
                raise ConfigError(
                    f"{self.path}: {NUM_HEADS}: none of {list(heads.values or ())} divides "
                    f"{FUSION_DIM} {dim}. Add a head count that does, for instance 1."
                )

    def _all_heads_divide(self, heads: Parameter) -> bool:
        return all(dim % count == 0 for dim in self._fusion_dims() for count in heads.values or ())

    def _heads(self, heads: Parameter, overrides: Mapping[str, Any]) -> tuple[int, ...]:
        """Return the head counts that divide the fusion dimension, the smallest first."""
        dim = overrides.get(FUSION_DIM, self.base.model.fusion_dim)
        return tuple(sorted(count for count in heads.values or () if dim % count == 0))

    def _fusion_dims(self) -> tuple[int, ...]:
        searched = self._find(FUSION_DIM)
        if searched is None:
            return (self.base.model.fusion_dim,)
        at_base = (self.base.model.fusion_dim,) if searched.when else ()
        return (*(searched.values or ()), *at_base)

    def _find(self, name: str) -> Parameter | None:
        return next((each for each in self.parameters if each.name == name), None)


def _setting(config: ExperimentConfig, name: str) -> Any:
    """Return a setting by its dotted name."""
    value: Any = config
    for key in name.split("."):
        value = getattr(value, key)
    return value


def describe_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return how two spaces, as plain values, differ: one line a parameter."""
    old, new = before["parameters"], now["parameters"]
    lines = []
    for name in sorted({*old, *new}):
        if name not in new:
            lines.append(f"{name} is not searched any more")
        elif name not in old:
            lines.append(f"{name} was not searched")
        elif old[name] != new[name]:
            lines.append(f"{name} was {_said(old[name])}, now {_said(new[name])}")
    return lines


def _said(parameter: Mapping[str, Any]) -> str:
    said = [f"{key} {value}" for key, value in parameter.items()]
    return "(" + ", ".join(said) + ")"
