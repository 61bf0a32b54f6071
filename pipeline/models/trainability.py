"""Choose trainable and frozen layers by name patterns, list layers, and count weights.

The path of a layer, e.g. `static_encoder/block1_conv1`, contains the names of the enclosing models
and wrappers, then the name of the layer. Patterns have the syntax of `fnmatch`: `*`, `?`, `[ab]`. A
pattern selects a layer if the pattern matches the whole path, or the part before any slash.
"""

import fnmatch
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from pipeline.core.errors import ModelError
from pipeline.core.near_names import nearest_name
from pipeline.models.end_to_end import EndToEndModel
from pipeline.models.personality_model import PersonalityModel
from pipeline.models.streams import Positions


@dataclass(frozen=True, kw_only=True)
class WeightCounts:
    """Numbers of scalar weights of a model."""

    trainable: int
    total: int
    """Number of all weights, including feature statistics."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerState:
    """Numbers of weights of a layer, and whether the layer is frozen."""

    path: str
    trainable: int
    """Number of trainable scalar weights."""
    total: int
    """Number of scalar weights."""
    is_frozen: bool
    """Whether the attribute `trainable` of the layer is False."""


def count_weights(model: keras.Model) -> WeightCounts:
    """Count the scalar weights of a built model."""
    return WeightCounts(trainable=_count(model.trainable_weights), total=_count(model.weights))


def choose_trainable(
    model: keras.Model, *, trainable: Sequence[str] = (), frozen: Sequence[str] = ()
) -> None:
    """Unfreeze the layers that match `trainable`, then freeze the layers that match `frozen`.

    The state of other layers does not change. Training does not change the weights of a frozen
    layer. These weights include the statistics of a batch normalization.

    Raises:
        ModelError: If a pattern matches no layer.
    """
    layers = layers_by_path(model)
    for patterns, value in ((trainable, True), (frozen, False)):
        for pattern in patterns:
            chosen = [layer for path, layer in layers.items() if _matches(path, pattern)]
            if not chosen:
                paths = list(layers)
                parents = {path.rpartition("/")[0] for path in paths} - {""}
                near = nearest_name(pattern, [*paths, *parents], cutoff=0.0)
                raise ModelError(
                    f"training.{'trainable' if value else 'frozen'}: the pattern {pattern!r} "
                    f"matches no layer; did you mean {near!r}? The model has {len(paths)} layers, "
                    f"from {paths[0]!r} to {paths[-1]!r}."
                )
            for layer in chosen:
                layer.trainable = value


def layer_states(model: keras.Model) -> tuple[LayerState, ...]:
    """Return the state of each layer that has weights, in model order."""
    states = (
        LayerState(
            path=path,
            trainable=_count(layer.trainable_weights),
            total=_count(layer.weights),
            is_frozen=not layer.trainable,
        )
        for path, layer in layers_by_path(model).items()
    )
    return tuple(state for state in states if state.total)


def frozen_at_random(model: keras.Model) -> tuple[str, ...]:
    """Return the paths of frozen layers with random initial weights.

    Call this before `adapt` and before training. The result is empty for an adapted model and for
    a custom model. The layers of loaded encoders are never in the result.
    """
    if not isinstance(model, PersonalityModel | EndToEndModel) or model.is_adapted:
        return ()
    loaded = model.loaded_encoders if isinstance(model, EndToEndModel) else ()
    return tuple(
        path
        for path, layer in layers_by_path(model).items()
        if not layer.trainable
        and _is_random(layer)
        and not path.startswith(tuple(f"{encoder}/" for encoder in loaded))
    )


def _is_random(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, Positions) and layer.in_time:
        return False  # sines and cosines are useful without training
    # If the initial values of a weight array are not random, they are all zeros or all ones.
    return any(np.ptp(np.asarray(weight)) > 0 for weight in layer.weights)


def layers_by_path(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Return path -> layer, in model order. Inner models and wrappers are replaced by their layers.

    If an inner model or wrapper is frozen, it is unfrozen and its layers are frozen.
    """
    return dict(_walk(model, ""))


def _walk(parent: Any, prefix: str) -> Iterator[tuple[str, keras.layers.Layer]]:
    for layer in _children(parent):
        path = f"{prefix}{layer.name}"
        if _children(layer):
            yield from _unpack(layer, path)
        else:
            yield path, layer


def _unpack(parent: Any, path: str) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yield the layers in `parent`. If `parent` is frozen, unfreeze it and freeze these layers."""
    inner = list(_walk(parent, f"{path}/"))
    states = [layer.trainable for _, layer in inner]
    if not parent.trainable:
        # The next line overwrites the state of every layer in `parent`.
        parent.trainable = True
        states = [False] * len(inner)
    for (_, layer), state in zip(inner, states, strict=True):
        layer.trainable = state
    yield from inner


def _children(layer: Any) -> list[keras.layers.Layer]:
    if isinstance(layer, keras.layers.Wrapper):
        return [layer.layer]
    return list(layer.layers) if isinstance(layer, keras.Model) else []


def _matches(path: str, pattern: str) -> bool:
    parts = path.split("/")
    return any(
        fnmatch.fnmatchcase("/".join(parts[:end]), pattern) for end in range(1, len(parts) + 1)
    )


def _count(weights: Sequence[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)
