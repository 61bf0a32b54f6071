"""Proposals drawn evenly at random, without a study: to look at a space before it is used."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.search.space.parameter import Label, label


class Draws:
    """Proposes values at random, but for those that are given.

    Args:
        generator: What to draw from.
        given: Values by name that are proposed as they are.
    """

    def __init__(self, generator: np.random.Generator, given: Mapping[str, Any]) -> None:
        self._generator = generator
        self._given = given

    def suggest_categorical(self, name: str, choices: Sequence[Label]) -> Label:
        """Return one of the choices."""
        if name in self._given:
            return label(self._given[name])
        return choices[int(self._generator.integers(len(choices)))]

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        """Return a whole number in [low, high]; logarithmic ones are drawn evenly too."""
        del log
        if name in self._given:
            return int(self._given[name])
        return low + step * int(self._generator.integers((high - low) // step + 1))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None, log: bool
    ) -> float:
        """Return a number in [low, high]."""
        del log
        if name in self._given:
            return float(self._given[name])
        if step is None:
            return float(self._generator.uniform(low, high))
        return low + step * int(self._generator.integers(round((high - low) / step) + 1))
