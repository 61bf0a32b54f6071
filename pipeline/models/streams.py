"""The way of one stream from the inputs of the model to tokens.

Shapes: B batch, T steps or tokens, C features, F fusion width.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import keras

from pipeline.models.architecture import Architecture, StreamSpec
from pipeline.models.fusion import TokenStream
from pipeline.models.pooling import MaskedMean
from pipeline.models.standardize import Standardize
from pipeline.models.tokens import Positions, VectorTokens


@dataclass(frozen=True, kw_only=True)
class FeatureStream:
    """One stream of features in the graph of a model."""

    name: str
    """`"static"` or `"dynamic"`."""
    in_steps: bool
    """Whether the stream has steps, rather than one vector a clip."""
    features: Any
    """Shape (B, C), or (B, T, C) in steps."""
    mask: Any
    """True where a step is real, shape (B, T), or None where all are."""


def build_input(name: str, spec: StreamSpec) -> FeatureStream:
    """Return the input `name` and, for a masked stream, `<name>_mask`."""
    steps = () if spec.num_steps is None else (spec.num_steps,)
    return FeatureStream(
        name=name,
        in_steps=bool(steps),
        features=keras.Input((*steps, spec.width), name=name, dtype="float32"),
        mask=keras.Input(steps, name=f"{name}_mask", dtype="bool") if spec.masked else None,
    )


def standardize(stream: FeatureStream) -> FeatureStream:
    """Return the stream with its features on one scale."""
    # In float32 whatever the precision of the rest: raw features may be of any size.
    layer = Standardize(name=f"{stream.name}_standardize", dtype="float32")
    return dataclasses.replace(stream, features=layer(stream.features, step_mask=stream.mask))


def to_tokens(stream: FeatureStream, architecture: Architecture) -> TokenStream:
    """Return the stream as tokens of the fusion width, each with its position."""
    name, width = stream.name, architecture.fusion_dim
    if stream.in_steps:
        embed = keras.layers.Dense(width, use_bias=False, name=f"{name}_tokens")
    else:
        embed = VectorTokens(architecture.num_tokens, width, name=f"{name}_tokens")
    place = Positions(in_time=stream.in_steps, name=f"{name}_positions")
    drop = keras.layers.Dropout(architecture.dropout_rate, name=f"{name}_dropout")
    return TokenStream(name=name, tokens=drop(place(embed(stream.features))), mask=stream.mask)


def summarize(stream: FeatureStream) -> Any:
    """Return one vector a clip, shape (B, C): the mean over the real steps."""
    if not stream.in_steps:
        return stream.features
    mean = MaskedMean(name=f"{stream.name}_summary", dtype="float32")
    return mean(stream.features, step_mask=stream.mask)
