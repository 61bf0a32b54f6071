"""Which layers of a model learn: chosen by name patterns, told as a table.

A layer is named by its path, for instance `static_encoder/block1_conv1`: models inside of a
model hold their layers, and a layer that wraps another one has the path of both. A pattern
(`fnmatch`: `*`, `?`, `[ab]`) means a layer if it matches its path, or that of something that
holds it.
"""

import fnmatch
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from pipeline.core.errors import ModelError
from pipeline.core.near_names import nearest_name


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerState:
    """One layer that has weights."""

    path: str
    """Names of what holds it and of itself, joined by slashes."""
    trainable: int
    """Single weights that training changes."""
    total: int
    """All of its single weights."""
    is_frozen: bool
    """Whether it was told to keep its weights; statistics are never trained, yet not frozen."""


def choose_trainable(
    model: keras.Model, *, trainable: Sequence[str] = (), frozen: Sequence[str] = ()
) -> None:
    """Let the layers that match `trainable` learn, then freeze those that match `frozen`.

    Other layers stay as they are. A frozen layer keeps its weights to the bit, and a frozen
    batch normalisation its statistics.

    Raises:
        ModelError: If a pattern matches no layer; it names the nearest path.
    """
    layers = layers_by_path(model)
    for patterns, value in ((trainable, True), (frozen, False)):
        for pattern in patterns:
            chosen = [layer for path, layer in layers.items() if _matches(path, pattern)]
            if not chosen:
                raise ModelError(
                    _no_match(pattern, list(layers), "trainable" if value else "frozen")
                )
            for layer in chosen:
                layer.trainable = value


def layer_states(model: keras.Model) -> tuple[LayerState, ...]:
    """Return the layers that have weights, in the order of the model."""
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


def layers_by_path(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Return the layers that hold no others, by path, in the order of the model."""
    return dict(_walk(model, ""))


def _walk(holder: Any, prefix: str) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yield the innermost layers by path; those that hold others stay trainable themselves."""
    for layer in _held_by(holder):
        path = f"{prefix}{layer.name}"
        if _held_by(layer):
            # A holder that is frozen freezes what it holds, whatever that says of itself.
            yield from _opened(layer, path)
        else:
            yield path, layer


def _opened(holder: Any, path: str) -> Iterator[tuple[str, keras.layers.Layer]]:
    inner = list(_walk(holder, f"{path}/"))
    states = [layer.trainable for _, layer in inner]
    if not holder.trainable:
        holder.trainable = True
        states = [False] * len(inner)
    for (_, layer), state in zip(inner, states, strict=True):
        layer.trainable = state
    yield from inner


def _held_by(layer: Any) -> list[keras.layers.Layer]:
    if isinstance(layer, keras.layers.Wrapper):
        return [layer.layer]
    return list(layer.layers) if isinstance(layer, keras.Model) else []


def _matches(path: str, pattern: str) -> bool:
    parts = path.split("/")
    return any(
        fnmatch.fnmatchcase("/".join(parts[:end]), pattern) for end in range(1, len(parts) + 1)
    )


def _no_match(pattern: str, paths: list[str], setting: str) -> str:
    holders = {"/".join(path.split("/")[:-1]) for path in paths} - {""}
    near = nearest_name(pattern, [*paths, *holders], cutoff=0.0)
    return (
        f"training.{setting}: the pattern {pattern!r} matches no layer; did you mean {near!r}? "
        f"The model has {len(paths)} layers, from {paths[0]!r} to {paths[-1]!r}."
    )


def _count(weights: Sequence[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)
