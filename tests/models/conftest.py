"""Small models and clips for the tests of the models."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from pipeline.core.seeds import generator
from pipeline.models import CompletePersonalityModel

NUM_CLIPS = 12


@dataclass(frozen=True, kw_only=True)
class Case:
    """Arguments of a model, and inputs in the order that the model needs."""

    arguments: dict[str, Any]
    inputs: dict[str, np.ndarray]

    @property
    def values(self) -> list[np.ndarray]:
        return list(self.inputs.values())

    def build(self, **changes: Any) -> CompletePersonalityModel:
        small = {"fusion_dim": 8, "num_heads": 2, "dropout_rate": 0.0, "num_tokens": 3}
        return CompletePersonalityModel(**{**small, **self.arguments, **changes})


def _features(name: str, *shape: int) -> np.ndarray:
    return generator(0, name).normal(1.0, 2.0, (NUM_CLIPS, *shape)).astype("float32")


def _mask(name: str, num_steps: int) -> np.ndarray:
    mask = generator(0, name).random((NUM_CLIPS, num_steps)) < 0.6
    mask[:, 1] = True
    return mask


@pytest.fixture
def vectors() -> Case:
    return Case(
        arguments={"static_dim": 4, "dynamic_dim": 4},
        inputs={"static": _features("static", 4), "dynamic": _features("dynamic", 4)},
    )


@pytest.fixture
def sequences() -> Case:
    return Case(
        arguments={
            "static_dim": 4,
            "dynamic_dim": 3,
            "static_steps": 5,
            "dynamic_steps": 6,
            "static_masked": True,
            "dynamic_masked": True,
        },
        inputs={
            "static": _features("static", 5, 4),
            "dynamic": _features("dynamic", 6, 3),
            "static_mask": _mask("static_mask", 5),
            "dynamic_mask": _mask("dynamic_mask", 6),
        },
    )


@pytest.fixture
def mixed() -> Case:
    """A masked sequence and a vector."""
    return Case(
        arguments={"static_dim": 4, "dynamic_dim": 3, "static_steps": 5, "static_masked": True},
        inputs={
            "static": _features("static", 5, 4),
            "dynamic": _features("dynamic", 3),
            "static_mask": _mask("static_mask", 5),
        },
    )


@pytest.fixture
def labels() -> np.ndarray:
    return generator(0, "labels").uniform(0.2, 0.8, (NUM_CLIPS, 5)).astype("float32")
