"""Fusions: functions that compute one logit per trait from the tokens of the streams.

Shapes: B batch, T tokens, F fusion width, H heads, K traits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import keras
from keras import ops

from pipeline.core.errors import ModelError
from pipeline.core.stream_names import DYNAMIC, STATIC
from pipeline.models.attention import (
    CrossAttentionBlock,
    FeedForward,
    TraitAttention,
    joint_mask,
    key_streams,
)
from pipeline.models.heads import StreamMixture, TraitHead, mix, softmax_shares
from pipeline.models.streams import MaskedMean, StreamTensors


@dataclass(frozen=True, kw_only=True)
class FusionSizes:
    """Sizes of the fusion layers. Some fusions use only a part of the sizes."""

    num_traits: int
    width: int
    num_heads: int
    num_blocks: int
    feed_forward_factor: int
    dropout_rate: float


Fused: TypeAlias = tuple[Any, dict[str, Any]]
"""Two values: logits (B, K), and name -> attention weights (B, H, queries, keys)."""


@dataclass(frozen=True, kw_only=True)
class Fusion:
    """Definition of a fusion."""

    build: Callable[[Sequence[StreamTensors], FusionSizes], Fused]
    """Function that adds the layers to the graph."""
    only_stream: str = ""
    """Name of the single stream that the fusion uses; empty if it uses all streams."""
    has_attention: bool = True


def cross_attention(streams: Sequence[StreamTensors], sizes: FusionSizes) -> Fused:
    """Apply cross-attention blocks, then attention from one query per trait to all tokens."""
    names = [stream.name for stream in streams]
    tokens, masks = [stream.values for stream in streams], [stream.mask for stream in streams]
    has_masks = any(mask is not None for mask in masks)
    # The mask is computed from the first tokens, because later tokens would change the order of
    # the layers.
    all_masks = joint_mask(tokens, masks)
    attention = {}
    for number in range(1, sizes.num_blocks + 1):
        block = CrossAttentionBlock(
            names,
            sizes.num_heads,
            feed_forward_factor=sizes.feed_forward_factor,
            dropout_rate=sizes.dropout_rate,
            name=f"block_{number}",
        )
        tokens, weights = block(tokens, masks=masks if has_masks else None)
        for name, stream_weights in zip(names, weights, strict=True):
            keys = "+".join(key_streams(names, name))
            attention[f"block_{number}/{name}_to_{keys}"] = stream_weights
    joined = keras.layers.Concatenate(axis=1, name="tokens")(tokens)
    features, attention["traits"] = TraitAttention(
        sizes.num_traits, num_heads=sizes.num_heads, name="trait_attention"
    )(joined, token_mask=all_masks)
    return _trait_head(sizes)(features), attention


def concat(streams: Sequence[StreamTensors], sizes: FusionSizes) -> Fused:
    """Average the tokens of each stream, concatenate the means, and apply a perceptron."""
    joined = keras.layers.Concatenate(name="joined")([_mean(stream) for stream in streams])
    features = keras.layers.Dense(sizes.width, activation="gelu", name="fused")(joined)
    return _shared_features_logits(features, sizes), {}


def gated(streams: Sequence[StreamTensors], sizes: FusionSizes) -> Fused:
    """Average the tokens of each stream, and mix the means with gates per feature."""
    features = GatedUnit(name="fused")([_mean(stream) for stream in streams])
    return _shared_features_logits(features, sizes), {}


def late(streams: Sequence[StreamTensors], sizes: FusionSizes) -> Fused:
    """Compute logits from each stream alone, then mix the logits with a weight per trait."""
    logits, attention = [], {}
    for stream in streams:
        stream_logits, weights = _one_stream_logits(stream, sizes, f"{stream.name}_")
        logits.append(stream_logits)
        attention[f"{stream.name}/traits"] = weights["traits"]
    if len(logits) == 1:
        return logits[0], attention
    return StreamMixture(name="mixture")(logits), attention


def single_stream(streams: Sequence[StreamTensors], sizes: FusionSizes) -> Fused:
    """Compute logits from one stream, with attention from one query per trait to the tokens."""
    (stream,) = streams
    return _one_stream_logits(stream, sizes, "")


FUSIONS: Final[Mapping[str, Fusion]] = MappingProxyType(
    {
        "cross_attention": Fusion(build=cross_attention),
        "concat": Fusion(build=concat, has_attention=False),
        "gated": Fusion(build=gated, has_attention=False),
        "late": Fusion(build=late),
        "static_only": Fusion(build=single_stream, only_stream=STATIC),
        "dynamic_only": Fusion(build=single_stream, only_stream=DYNAMIC),
    }
)
"""Name in the configuration -> fusion."""


def fused_streams(fusion: str, streams: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the streams that a fusion uses, in order.

    Raises:
        ModelError: If the fusion uses a single stream that is not in `streams`.
    """
    only = FUSIONS[fusion].only_stream
    if only and only not in streams:
        raise ModelError(
            f"fusion={fusion!r} uses the stream {only}, but the streams are {', '.join(streams)}. "
            "Choose another fusion, such as cross_attention, or add the stream."
        )
    return (only,) if only else tuple(streams)


@keras.saving.register_keras_serializable(package="pipeline")
class GatedUnit(keras.layers.Layer):
    """Gated multimodal unit: mix N streams with learned gates per feature.

    The gates of a feature have the sum 1. For two streams, the gates are g and 1 - g; g is the
    sigmoid of a logit. For more streams, they are `softmax_shares` of N - 1 logits.

    Call arguments:
        inputs: Vector of each stream, each of shape (B, F).

    Reference: Arevalo et al., 2017 (arXiv:1702.01992), section 3.1. For two streams, this is the
        bimodal unit. For more streams, the softmax keeps the sum of the gates at 1, whereas the
        multimodal unit of the reference has independent gates.
    """

    def build(self, inputs_shape: Sequence[tuple[Any, ...]]) -> None:
        """Create one dense layer per stream and, for two or more streams, the gate."""
        width = inputs_shape[0][-1]
        options = {"dtype": self.dtype_policy}
        for number, shape in enumerate(inputs_shape):
            name = _map_name(number)
            layer = keras.layers.Dense(width, activation="tanh", name=name, **options)
            setattr(self, f"{name}_map", layer)
            layer.build(shape)
        num_others = len(inputs_shape) - 1
        if num_others:
            # Two streams need only one gate. A sigmoid outside the layer would change the rounding.
            activation = "sigmoid" if num_others == 1 else None
            self.gate = keras.layers.Dense(
                num_others * width, activation=activation, name="gate", **options
            )
            self.gate.build((inputs_shape[0][0], sum(shape[-1] for shape in inputs_shape)))

    def call(self, inputs: Sequence[Any]) -> Any:
        """Return the fused features, shape (B, F), in [-1, 1]."""
        mapped = [
            getattr(self, f"{_map_name(number)}_map")(values)
            for number, values in enumerate(inputs)
        ]
        if len(inputs) == 1:
            return mapped[0]
        gates = self.gate(ops.concatenate(inputs, axis=-1))
        if len(inputs) == 2:
            return mix([gates, 1 - gates], mapped)
        return mix(softmax_shares(ops.split(gates, len(inputs) - 1, axis=-1)), mapped)


def _map_name(number: int) -> str:
    # Saved models contain these names.
    return ("first", "second")[number] if number < 2 else f"stream_{number + 1}"


def _one_stream_logits(stream: StreamTensors, sizes: FusionSizes, prefix: str) -> Fused:
    attention = TraitAttention(
        sizes.num_traits, num_heads=sizes.num_heads, name=f"{prefix}trait_attention"
    )
    features, weights = attention(stream.values, token_mask=stream.mask)
    return _trait_head(sizes, prefix)(features), {"traits": weights}


def _trait_head(sizes: FusionSizes, prefix: str = "") -> TraitHead:
    return TraitHead(sizes.num_traits, dropout_rate=sizes.dropout_rate, name=f"{prefix}trait_head")


def _shared_features_logits(features: Any, sizes: FusionSizes) -> Any:
    features = FeedForward(
        sizes.feed_forward_factor, dropout_rate=sizes.dropout_rate, name="feed_forward"
    )(features)
    features = keras.layers.Reshape((1, sizes.width), name="trait_features")(features)
    return _trait_head(sizes)(features)


def _mean(stream: StreamTensors) -> Any:
    return MaskedMean(name=f"{stream.name}_mean")(stream.values, step_mask=stream.mask)
