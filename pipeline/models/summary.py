"""Count what a model has to learn."""

import math
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True, kw_only=True)
class WeightCounts:
    """Numbers of single weights."""

    trainable: int
    """Those that training changes."""
    total: int
    """All of them, with the statistics of the features."""


def count_weights(model: keras.Model) -> WeightCounts:
    """Count the single weights of a built model."""
    return WeightCounts(trainable=_count(model.trainable_weights), total=_count(model.weights))


def _count(weights: list[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)
