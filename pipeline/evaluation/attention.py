"""What attention weights say: where the traits look, whether heads agree, what reaches a trait.

Shapes: N clips, H heads, Q queries, T keys, S static tokens, D dynamic tokens, K traits.

Weights tell where a model looks, not yet what decides its scores (Jain & Wallace, 2019,
arXiv:1902.10186); `pipeline.evaluation.faithfulness` checks that.
"""

from collections.abc import Mapping

import numpy as np

from pipeline.core.arrays import BoolArray, FloatArray, IntArray
from pipeline.records.attention import TRAIT_QUERIES, queries_and_keys


def without_padding(
    weights: FloatArray, query_mask: BoolArray | None, key_mask: BoolArray
) -> FloatArray:
    """Return weights with NaN wherever the query or the key is padding.

    Args:
        weights: Shape (N, H, Q, T).
        query_mask: True where a query is real, shape (N, Q); None where all are.
        key_mask: True where a key is real, shape (N, T).
    """
    is_real = key_mask[:, None, None, :]
    if query_mask is not None:
        is_real = is_real & query_mask[:, None, :, None]
    return np.where(is_real, weights, np.nan)


class PaddedMean:
    """A mean over clips that come batch by batch, NaN left out of it."""

    def __init__(self) -> None:
        self._sum: FloatArray | float = 0.0
        self._count: IntArray | int = 0

    def add(self, values: FloatArray) -> None:
        """Add the clips along the first axis."""
        is_real = ~np.isnan(values)
        self._sum = self._sum + np.where(is_real, values, 0.0).sum(axis=0, dtype=np.float64)
        self._count = self._count + is_real.sum(axis=0)

    def result(self) -> FloatArray:
        """Return the mean of each entry; NaN where no clip had one."""
        count = np.asarray(self._count)
        return np.where(count > 0, self._sum / np.maximum(count, 1), np.nan)


def head_agreement(
    weights: FloatArray,
    *,
    query_mask: BoolArray | None = None,
    key_mask: BoolArray | None = None,
) -> FloatArray:
    """Return how alike the heads look: 1 where two share every weight, 0 where they share none.

    It is 1 minus the Jensen-Shannon distance (to base 2) of two heads' weights.

    Args:
        weights: Weights that sum to 1 over the keys and are 0 on padding, shape (N, H, Q, T).
        query_mask: True where a query is real, shape (N, Q); None where all are.
        key_mask: True where a key is real, shape (N, T); None where all are.

    Returns:
        Shape (N, H, H), symmetric, the mean over the real queries; NaN for a clip with fewer
        than two real keys, where heads cannot differ, or without a real query.

    Reference: Lin, 1991 (doi:10.1109/18.61115), the divergence; Endres & Schindelin, 2003
        (doi:10.1109/TIT.2003.813506), its root is a distance.
    """
    weights = np.asarray(weights, dtype=np.float64)
    num_clips, num_heads, num_queries, _ = weights.shape
    if query_mask is None:
        query_mask = np.ones((num_clips, num_queries), dtype=np.bool_)
    entropy = _bits(weights)
    agreement = np.ones((num_clips, num_heads, num_heads))
    for first in range(num_heads):
        for second in range(first):
            middle = _bits((weights[:, first] + weights[:, second]) / 2)
            divergence = middle - (entropy[:, first] + entropy[:, second]) / 2
            distance = np.sqrt(np.clip(divergence, 0.0, 1.0))  # rounding may leave [0, 1]
            num_real = np.maximum(query_mask.sum(axis=1), 1)
            alike = 1 - (distance * query_mask).sum(axis=1) / num_real
            agreement[:, first, second] = agreement[:, second, first] = alike
    num_keys = weights.shape[3] if key_mask is None else key_mask.sum(axis=1)
    has_choice = query_mask.any(axis=1) & (num_keys > 1)
    agreement[~has_choice] = np.nan
    return agreement


def trait_attention(
    weights: Mapping[str, FloatArray], num_keys: Mapping[str, int]
) -> dict[str, FloatArray]:
    """Return the weights of the traits on the tokens of each stream, the mean over heads.

    Args:
        weights: Weights by map, shape (N, H, Q, T); those of the traits are taken.
        num_keys: Tokens of each stream, in the order in which maps hold the streams.

    Returns:
        Shape (N, K, S) and (N, K, D), by stream.
    """
    by_stream: dict[str, FloatArray] = {}
    for name, values in weights.items():
        queries, streams = queries_and_keys(name, tuple(num_keys))
        if queries == TRAIT_QUERIES:
            ends = np.cumsum([num_keys[stream] for stream in streams])[:-1]
            parts = np.split(values.mean(axis=1), ends, axis=-1)
            by_stream |= dict(zip(streams, parts, strict=True))
    return {stream: by_stream[stream] for stream in num_keys if stream in by_stream}


def attention_rollout(
    weights: Mapping[str, FloatArray], num_keys: Mapping[str, int]
) -> dict[str, FloatArray]:
    """Return how much of what each trait reads comes from each step, blocks included.

    The traits read tokens that have already looked at each other. Each block is taken for
    the mean of its heads, and half of what a token holds afterwards for its own, as the
    residual connection keeps it. Compare steps within a stream: which share a stream has
    follows from that half, not from the model, once there is a block.

    Args:
        weights: Weights by map, shape (N, H, Q, T).
        num_keys: Tokens of each stream, in the order in which maps hold the streams.

    Returns:
        Shape (N, K, S) and (N, K, D), by stream; empty for a model without blocks.

    Reference: Abnar & Zuidema, 2020 (arXiv:2005.00928), section 3, attention rollout; applied
        to co-attention, where a block's matrix is zero within a stream but for the identity.
    """
    num_blocks = sum(name.endswith("/static_to_dynamic") for name in weights)
    if not num_blocks:
        return {}
    shares = trait_attention(weights, num_keys)
    for number in range(num_blocks, 0, -1):
        to_dynamic = weights[f"block_{number}/static_to_dynamic"].mean(axis=1)
        to_static = weights[f"block_{number}/dynamic_to_static"].mean(axis=1)
        static, dynamic = shares["static"], shares["dynamic"]
        shares = {
            "static": (static + dynamic @ to_static) / 2,
            "dynamic": (dynamic + static @ to_dynamic) / 2,
        }
    return shares


def _bits(weights: FloatArray) -> FloatArray:
    """Return the entropy over the last axis, in bits."""
    bits: FloatArray = -(weights * np.log2(np.where(weights > 0, weights, 1.0))).sum(axis=-1)
    return bits
