"""Fusions: functions that compute one logit per trait from the tokens of the streams.

Shapes: B batch, T tokens, F fusion width, H heads, K traits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import keras
from keras import ops

from pipeline.models.attention import CrossAttentionBlock, FeedForward, TraitAttention
from pipeline.models.heads import StreamMixture, TraitHead
from pipeline.models.streams import MaskedMean, StreamTensors


@dataclass(frozen=True, kw_only=True)
class FusionSizes:
    """Sizes of the fusion layers. Some fusions use only a part of the sizes."""

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
    streams: tuple[str, ...] = ("static", "dynamic")
    """Names of the input streams, in the order in which `build` needs the streams."""
    has_attention: bool = True


def cross_attention(streams: Sequence[StreamTensors], sizes: FusionSizes) -> Fused:
    """Apply cross-attention blocks, then attention from one query per trait to all tokens."""
    static, dynamic = streams
    static_tokens, dynamic_tokens = static.values, dynamic.values
    attention = {}
    for number in range(1, sizes.num_blocks + 1):
        block = CrossAttentionBlock(
            sizes.num_heads,
            feed_forward_factor=sizes.feed_forward_factor,
            dropout_rate=sizes.dropout_rate,
            name=f"block_{number}",
        )
        static_tokens, dynamic_tokens, static_to_dynamic, dynamic_to_static = block(
            static_tokens, dynamic_tokens, static_mask=static.mask, dynamic_mask=dynamic.mask
        )
        attention[f"block_{number}/static_to_dynamic"] = static_to_dynamic
        attention[f"block_{number}/dynamic_to_static"] = dynamic_to_static
    tokens = keras.layers.Concatenate(axis=1, name="tokens")([static_tokens, dynamic_tokens])
    features, attention["traits"] = TraitAttention(sizes.num_heads, name="trait_attention")(
        tokens, token_mask=_joint_mask(static, dynamic)
    )
    logits = TraitHead(dropout_rate=sizes.dropout_rate, name="trait_head")(features)
    return logits, attention


def concat(streams: Sequence[StreamTensors], sizes: FusionSizes) -> Fused:
    """Average the tokens of each stream, concatenate the two means, and apply a perceptron."""
    joined = keras.layers.Concatenate(name="joined")([_mean(stream) for stream in streams])
    features = keras.layers.Dense(sizes.width, activation="gelu", name="fused")(joined)
    return _shared_features_logits(features, sizes), {}


def gated(streams: Sequence[StreamTensors], sizes: FusionSizes) -> Fused:
    """Average the tokens of each stream, and mix the two means with a gate per feature."""
    features = GatedUnit(name="fused")(*[_mean(stream) for stream in streams])
    return _shared_features_logits(features, sizes), {}


def late(streams: Sequence[StreamTensors], sizes: FusionSizes) -> Fused:
    """Compute logits from each stream alone, then mix the logits with a weight per trait."""
    logits, attention = [], {}
    for stream in streams:
        stream_logits, weights = _one_stream_logits(stream, sizes, f"{stream.name}_")
        logits.append(stream_logits)
        attention[f"{stream.name}/traits"] = weights["traits"]
    return StreamMixture(name="mixture")(*logits), attention


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
        "static_only": Fusion(build=single_stream, streams=("static",)),
        "dynamic_only": Fusion(build=single_stream, streams=("dynamic",)),
    }
)
"""Name in the configuration -> fusion."""


@keras.saving.register_keras_serializable(package="pipeline")
class GatedUnit(keras.layers.Layer):
    """Gated multimodal unit: mix two streams with a learned gate per feature.

    Call arguments:
        first: Shape (B, F).
        second: Shape (B, F).

    Reference: Arevalo et al., 2017 (arXiv:1702.01992), section 3.1, the bimodal unit.
    """

    def build(self, first_shape: tuple[Any, ...], second_shape: tuple[Any, ...]) -> None:
        """Create three dense layers: one per stream, and the gate."""
        width = first_shape[-1]
        options = {"dtype": self.dtype_policy}
        self.first_map = keras.layers.Dense(width, activation="tanh", name="first", **options)
        self.second_map = keras.layers.Dense(width, activation="tanh", name="second", **options)
        self.gate = keras.layers.Dense(width, activation="sigmoid", name="gate", **options)
        self.first_map.build(first_shape)
        self.second_map.build(second_shape)
        self.gate.build((first_shape[0], first_shape[-1] + second_shape[-1]))

    def call(self, first: Any, second: Any) -> Any:
        """Return the fused features, shape (B, F), in [-1, 1]."""
        share = self.gate(ops.concatenate([first, second], axis=-1))
        return share * self.first_map(first) + (1 - share) * self.second_map(second)


def _one_stream_logits(stream: StreamTensors, sizes: FusionSizes, prefix: str) -> Fused:
    attention = TraitAttention(sizes.num_heads, name=f"{prefix}trait_attention")
    features, weights = attention(stream.values, token_mask=stream.mask)
    head = TraitHead(dropout_rate=sizes.dropout_rate, name=f"{prefix}trait_head")
    return head(features), {"traits": weights}


def _shared_features_logits(features: Any, sizes: FusionSizes) -> Any:
    features = FeedForward(
        sizes.feed_forward_factor, dropout_rate=sizes.dropout_rate, name="feed_forward"
    )(features)
    features = keras.layers.Reshape((1, sizes.width), name="trait_features")(features)
    return TraitHead(dropout_rate=sizes.dropout_rate, name="trait_head")(features)


def _mean(stream: StreamTensors) -> Any:
    return MaskedMean(name=f"{stream.name}_mean")(stream.values, step_mask=stream.mask)


def _joint_mask(*streams: StreamTensors) -> Any:
    if all(stream.mask is None for stream in streams):
        return None
    masks = [
        ops.ones_like(stream.values[..., 0], dtype="bool") if stream.mask is None else stream.mask
        for stream in streams
    ]
    return ops.concatenate(masks, axis=1)
