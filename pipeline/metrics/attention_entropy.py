"""Normalized entropy of attention weights.

It is 0 if one key has all the weight, and 1 if all valid keys have equal weights.

Shapes: N clips, H heads, Q queries, T keys, S steps of a stream.
"""

from collections.abc import Mapping

import numpy as np

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.records.attention import TRAIT_QUERIES, queries_and_keys


def normalized_entropy(
    weights: FloatArray,
    *,
    query_mask: BoolArray | None = None,
    key_mask: BoolArray | None = None,
) -> FloatArray:
    """Compute the normalized entropy across valid keys, averaged across valid queries.

    Args:
        weights: Attention weights that sum to 1 across keys, shape (N, H, Q, T).
        query_mask: True for valid queries, shape (N, Q); None if all are valid.
        key_mask: True for valid keys, shape (N, T); None if all are valid.

    Returns:
        Entropies in [0, 1], shape (N, H): 0 if each query has all its weight on one key, 1 if all
        valid keys have equal weights. NaN for clips with fewer than two valid keys or without a
        valid query.

    Reference: Shannon, 1948 (doi:10.1002/j.1538-7305.1948.tb01338.x), for the entropy;
        Pielou, 1966 (doi:10.1016/0022-5193(66)90013-0), for the normalization by its maximum.
    """
    weights = np.asarray(weights, dtype=np.float64)
    num_clips, _, num_queries, num_keys = weights.shape
    if key_mask is None:
        key_mask = np.ones((num_clips, num_keys), dtype=np.bool_)
    if query_mask is None:
        query_mask = np.ones((num_clips, num_queries), dtype=np.bool_)
    weights = np.where(key_mask[:, None, None, :], weights, 0.0)
    # By convention, 0 log 0 is 0.
    entropy = -(weights * np.log(np.where(weights > 0, weights, 1.0))).sum(axis=-1)
    num_valid_keys, num_valid_queries = key_mask.sum(axis=1), query_mask.sum(axis=1)
    is_defined = (num_valid_keys > 1) & (num_valid_queries > 0)
    scale = np.log(np.maximum(num_valid_keys, 2)) * np.maximum(num_valid_queries, 1)
    mean = (entropy * query_mask[:, None, :]).sum(axis=-1) / scale[:, None]
    # Rounding of float32 weights can give an entropy slightly above 1.
    return np.where(is_defined[:, None], np.clip(mean, 0.0, 1.0), np.nan)


def head_entropies(
    weights: Mapping[str, FloatArray], step_masks: Mapping[str, BoolArray]
) -> dict[str, FloatArray]:
    """Compute the normalized entropy (N, H) of the weights (N, H, Q, T) of each attention map.

    `step_masks` contains one mask per stream, shape (N, S): True for valid steps or tokens.
    """
    entropies = {}
    for name, values in weights.items():
        query_mask, key_mask = map_masks(name, step_masks)
        entropies[name] = normalized_entropy(values, query_mask=query_mask, key_mask=key_mask)
    return entropies


def map_masks(name: str, step_masks: Mapping[str, BoolArray]) -> tuple[BoolArray | None, BoolArray]:
    """Return the query mask (N, Q) and the key mask (N, T) of an attention map.

    The query mask is None for the trait queries, which are always valid. `step_masks` must contain
    the streams in the order of their keys in the map `traits`.
    """
    query, keys = queries_and_keys(name, tuple(step_masks))
    key_mask = np.concatenate([step_masks[stream] for stream in keys], axis=1)
    return (None if query == TRAIT_QUERIES else step_masks[query]), key_mask
