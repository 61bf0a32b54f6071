"""The ways to fuse two streams of tokens into one logit a trait.

Shapes: B batch, T tokens, S static tokens, D dynamic tokens, F fusion width, H heads, K traits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import keras
from keras import ops

from pipeline.models.attention import CrossAttentionBlock, TraitAttention
from pipeline.models.feed_forward import FeedForward
from pipeline.models.gating import GatedUnit
from pipeline.models.heads import StreamMixture, TraitHead
from pipeline.models.pooling import MaskedMean


@dataclass(frozen=True, kw_only=True)
class TokenStream:
    """One stream, as a fusion reads it."""

    name: str
    """`"static"` or `"dynamic"`."""
    tokens: Any
    """Shape (B, T, F)."""
    mask: Any
    """True where a token is real, shape (B, T), or None where all are."""


@dataclass(frozen=True, kw_only=True)
class FusionSizes:
    """What every fusion is built from; each takes what it needs."""

    width: int
    num_heads: int
    num_blocks: int
    feed_forward_factor: int
    dropout_rate: float


@dataclass(frozen=True, kw_only=True)
class Fused:
    """What a fusion gives back."""

    logits: Any
    """Shape (B, K)."""
    attention: Mapping[str, Any] = field(default_factory=dict)
    """Attention weights by name, (B, H, queries, keys) each; empty for fusions without any."""


@dataclass(frozen=True, kw_only=True)
class Fusion:
    """One entry of `FUSIONS`."""

    build: Callable[[Sequence[TokenStream], FusionSizes], Fused]
    """Adds the layers to the graph."""
    streams: tuple[str, ...] = ("static", "dynamic")
    """Names of the streams that it reads, in the order that `build` gets them."""
    attends: bool = True
    """Whether it has attention weights to show."""


def cross_attention(streams: Sequence[TokenStream], sizes: FusionSizes) -> Fused:
    """Let the streams look at each other, then each trait at both."""
    static, dynamic = streams
    static_tokens, dynamic_tokens = static.tokens, dynamic.tokens
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
    return Fused(logits=logits, attention=attention)


def concat(streams: Sequence[TokenStream], sizes: FusionSizes) -> Fused:
    """Join the means of both streams, and put a perceptron on top."""
    joined = keras.layers.Concatenate(name="joined")([_pooled(stream) for stream in streams])
    features = keras.layers.Dense(sizes.width, activation="gelu", name="fused")(joined)
    return Fused(logits=_shared_features_logits(features, sizes))


def gated(streams: Sequence[TokenStream], sizes: FusionSizes) -> Fused:
    """Let a gate choose between the means of both streams, feature by feature."""
    features = GatedUnit(name="fused")(*[_pooled(stream) for stream in streams])
    return Fused(logits=_shared_features_logits(features, sizes))


def late(streams: Sequence[TokenStream], sizes: FusionSizes) -> Fused:
    """Let each stream predict alone, and weigh the predictions trait by trait."""
    alone = {
        stream.name: _one_stream_logits(stream, sizes, f"{stream.name}_") for stream in streams
    }
    logits = StreamMixture(name="mixture")(*[fused.logits for fused in alone.values()])
    attention = {f"{name}/traits": fused.attention["traits"] for name, fused in alone.items()}
    return Fused(logits=logits, attention=attention)


def single_stream(streams: Sequence[TokenStream], sizes: FusionSizes) -> Fused:
    """Let each trait look at one stream only."""
    (stream,) = streams
    return _one_stream_logits(stream, sizes, "")


FUSIONS: Final[Mapping[str, Fusion]] = MappingProxyType(
    {
        "cross_attention": Fusion(build=cross_attention),
        "concat": Fusion(build=concat, attends=False),
        "gated": Fusion(build=gated, attends=False),
        "late": Fusion(build=late),
        "static_only": Fusion(build=single_stream, streams=("static",)),
        "dynamic_only": Fusion(build=single_stream, streams=("dynamic",)),
    }
)
"""Every fusion by the name that configurations use."""


def _one_stream_logits(stream: TokenStream, sizes: FusionSizes, prefix: str) -> Fused:
    attention = TraitAttention(sizes.num_heads, name=f"{prefix}trait_attention")
    features, weights = attention(stream.tokens, token_mask=stream.mask)
    head = TraitHead(dropout_rate=sizes.dropout_rate, name=f"{prefix}trait_head")
    return Fused(logits=head(features), attention={"traits": weights})


def _shared_features_logits(features: Any, sizes: FusionSizes) -> Any:
    """Return the logits of features (B, F) that all traits share."""
    features = FeedForward(
        sizes.feed_forward_factor, dropout_rate=sizes.dropout_rate, name="feed_forward"
    )(features)
    features = keras.layers.Reshape((1, sizes.width), name="trait_features")(features)
    return TraitHead(dropout_rate=sizes.dropout_rate, name="trait_head")(features)


def _pooled(stream: TokenStream) -> Any:
    return MaskedMean(name=f"{stream.name}_mean")(stream.tokens, step_mask=stream.mask)


def _joint_mask(*streams: TokenStream) -> Any:
    if all(stream.mask is None for stream in streams):
        return None
    masks = [
        ops.ones_like(stream.tokens[..., 0], dtype="bool") if stream.mask is None else stream.mask
        for stream in streams
    ]
    return ops.concatenate(masks, axis=1)
