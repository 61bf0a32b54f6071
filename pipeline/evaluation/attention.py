"""Attention measures: agreement between heads, attention from the traits, and means over clips.

Attention weights do not necessarily show which inputs determine the scores (Jain & Wallace,
2019, arXiv:1902.10186). The module `faithfulness` tests this relation.

Shapes: N clips, n clips of a batch, H heads, Q queries, T keys (tokens of a stream), K traits.
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np

from pipeline.core.arrays import BoolArray, FloatArray, IntArray
from pipeline.metrics.attention_entropy import map_masks, normalized_entropy
from pipeline.records.attention import TRAIT_QUERIES, WHOLE, AttentionMeasurements, queries_and_keys

DIRECT: Final = "traits"
"""Name of the ranking that sorts the time steps by direct attention from the traits."""

ROLLOUT: Final = "rollout"
"""Name of the ranking that sorts the time steps by attention rollout."""

_ONE_KEY: Final = "every clip has only one key, and attention over one key is always 1."


def padding_to_nan(
    weights: FloatArray, query_mask: BoolArray | None, key_mask: BoolArray
) -> FloatArray:
    """Replace the weights (N, H, Q, T) of padded queries and keys by NaN.

    `query_mask` (N, Q) and `key_mask` (N, T) are True for real queries and keys. If `query_mask`
    is None, all queries are real.
    """
    is_real = key_mask[:, None, None, :]
    if query_mask is not None:
        is_real = is_real & query_mask[:, None, :, None]
    return np.where(is_real, weights, np.nan)


class RunningMean:
    """Mean over clips that are added in batches.

    The values of the first `num_samples` clips are also stored. The mean ignores
    NaN values.
    """

    def __init__(self, num_samples: int = 0) -> None:
        self._sum: FloatArray | float = 0.0
        self._count: IntArray | int = 0
        self._max_samples = num_samples
        self._samples: list[FloatArray] = []

    def add(self, values: FloatArray) -> None:
        """Add a batch. The first axis of `values` contains the clips."""
        is_real = ~np.isnan(values)
        self._sum = self._sum + np.where(is_real, values, 0.0).sum(axis=0, dtype=np.float64)
        self._count = self._count + is_real.sum(axis=0)
        num_wanted = self._max_samples - sum(map(len, self._samples))
        if num_wanted > 0:
            # A view would keep the whole batch in memory, so a copy is stored.
            self._samples.append(values[:num_wanted].copy())

    @property
    def mean(self) -> FloatArray:
        """Mean of each entry; NaN if the entry is NaN in every clip."""
        count = np.asarray(self._count)
        return np.where(count > 0, self._sum / np.maximum(count, 1), np.nan)

    @property
    def samples(self) -> FloatArray:
        """Values of the first clips, stacked along the first axis."""
        return np.concatenate(self._samples)


def head_agreement(
    weights: FloatArray, *, query_mask: BoolArray | None, key_mask: BoolArray
) -> FloatArray:
    """Compute the pairwise similarity of the heads: 1 if identical, 0 without overlap.

    The similarity is 1 minus the Jensen-Shannon distance (base 2) between the weights of two heads.
    The arguments are those of `padding_to_nan`. The weights sum to 1 over the keys, and padding
    has weight 0.

    Returns:
        Symmetric matrix of each clip, averaged over its real queries, shape (N, H, H). NaN for
        clips without a real query, and for clips with fewer than two real keys. With one key, heads
        cannot differ.

    Reference: Lin, 1991 (doi:10.1109/18.61115), for the divergence; Endres & Schindelin, 2003
        (doi:10.1109/TIT.2003.813506), for its square root, the distance.
    """
    weights = np.asarray(weights, dtype=np.float64)
    num_clips, num_heads, num_queries, _ = weights.shape
    if query_mask is None:
        query_mask = np.ones((num_clips, num_queries), dtype=np.bool_)
    entropy = _entropy_bits(weights)
    agreement = np.ones((num_clips, num_heads, num_heads))
    num_real = np.maximum(query_mask.sum(axis=1), 1)
    for first in range(num_heads):
        for second in range(first):
            mixture = _entropy_bits((weights[:, first] + weights[:, second]) / 2)
            divergence = mixture - (entropy[:, first] + entropy[:, second]) / 2
            # Rounding errors can give values outside [0, 1], so the values are clipped.
            distance = np.sqrt(np.clip(divergence, 0.0, 1.0))
            similarity = 1 - (distance * query_mask).sum(axis=1) / num_real
            agreement[:, first, second] = agreement[:, second, first] = similarity
    agreement[~query_mask.any(axis=1) | (key_mask.sum(axis=1) < 2)] = np.nan
    return agreement


def _entropy_bits(weights: FloatArray) -> FloatArray:
    bits: FloatArray = -(weights * np.log2(np.where(weights > 0, weights, 1.0))).sum(axis=-1)
    return bits


def trait_attention(
    weights: Mapping[str, FloatArray], num_keys: Mapping[str, int]
) -> dict[str, FloatArray]:
    """Return the attention from the traits to the tokens of each stream, averaged over heads.

    Args:
        weights: Attention map -> weights (N, H, Q, T). Maps without trait queries are ignored.
        num_keys: Stream -> number of tokens. The streams have the same order as in the maps.

    Returns:
        Stream -> attention, shape (N, K, T).
    """
    by_stream: dict[str, FloatArray] = {}
    for name, values in weights.items():
        queries, streams = queries_and_keys(name, tuple(num_keys))
        if queries == TRAIT_QUERIES:
            boundaries = np.cumsum([num_keys[stream] for stream in streams])[:-1]
            parts = np.split(values.mean(axis=1), boundaries, axis=-1)
            by_stream |= dict(zip(streams, parts, strict=True))
    return {stream: by_stream[stream] for stream in num_keys if stream in by_stream}


def attention_rollout(
    weights: Mapping[str, FloatArray], num_keys: Mapping[str, int]
) -> dict[str, FloatArray]:
    """Return attention rollout: the share of each time step in the attention of each trait.

    The matrix of a block is the mean of two matrices: the head-averaged attention, and the
    identity for the residual connection. Both matrices have the weight 1/2. These weights determine
    the total share of each stream, so compare steps only within one stream.

    Arguments and result are those of `trait_attention`. The result is empty if the model has no
    cross-attention blocks.

    Reference: Abnar & Zuidema, 2020 (arXiv:2005.00928), section 3, attention rollout. In
        co-attention, a stream does not attend to itself, so the matrix from a stream to itself
        contains only the identity. A single stream attends to itself.
    """
    blocks: dict[str, list[str]] = defaultdict(list)
    for name in weights:
        block, _, direction = name.rpartition("/")
        if direction != TRAIT_QUERIES:
            blocks[block].append(name)
    if not blocks:
        return {}
    shares = trait_attention(weights, num_keys)
    for names in reversed(blocks.values()):
        received = dict(shares)  # the identity of the residual connection
        for name in names:
            query, keys = queries_and_keys(name, tuple(num_keys))
            boundaries = np.cumsum([num_keys[stream] for stream in keys])[:-1]
            parts = np.split(weights[name].mean(axis=1), boundaries, axis=-1)
            for stream, part in zip(keys, parts, strict=True):
                received[stream] = received[stream] + shares[query] @ part
        shares = {stream: total / 2 for stream, total in received.items()}
    return shares


class AttentionSummary:
    """Attention measurements of many clips. The clips are added in batches to limit memory.

    `num_keys` is the same as in `trait_attention`. The attention maps of the first
    `num_samples` clips are kept.
    """

    def __init__(self, num_keys: Mapping[str, int], *, num_samples: int) -> None:
        self._num_keys = dict(num_keys)
        self._maps: dict[str, RunningMean] = defaultdict(partial(RunningMean, num_samples))
        self._entropy: dict[str, list[FloatArray]] = defaultdict(list)
        self._agreement: dict[str, RunningMean] = defaultdict(RunningMean)
        self._shares: dict[str, RunningMean] = defaultdict(RunningMean)
        self._traits = {ranking: _TraitAttention(num_samples) for ranking in (DIRECT, ROLLOUT)}

    def add(
        self,
        weights: Mapping[str, FloatArray],
        step_masks: Mapping[str, BoolArray],
        token_masks: Mapping[str, BoolArray] | None = None,
    ) -> None:
        """Add a batch.

        Args:
            weights: Attention map -> weights (n, H, Q, T).
            step_masks: Stream -> mask of the steps, shape (n, T).
            token_masks: Stream -> mask of the tokens, shape (n, T), with the learned token of
                a stream that a clip lacks. By default, the steps are the tokens.
        """
        token_masks = token_masks or step_masks
        for name, values in weights.items():
            self._maps[name].add(padding_to_nan(values, *map_masks(name, step_masks)))
            queries, keys = map_masks(name, token_masks)
            entropy = normalized_entropy(values, query_mask=queries, key_mask=keys)
            self._entropy[name].append(entropy)
            self._agreement[name].add(head_agreement(values, query_mask=queries, key_mask=keys))
        for ranking, attention in (
            (DIRECT, trait_attention(weights, self._num_keys)),
            (ROLLOUT, attention_rollout(weights, self._num_keys)),
        ):
            for stream, steps in attention.items():
                is_real = step_masks[stream]
                padded = np.where(is_real[:, None, :], steps, np.nan)
                is_token = token_masks[stream][:, None, :]
                share = np.nansum(np.where(is_token, steps, np.nan), axis=2)
                uniform = share.mean(axis=1) / np.maximum(is_real.sum(axis=1), 1)
                traits = self._traits[ranking]
                traits.steps[stream].add(padded)
                traits.uniform[stream].add(np.where(is_real, uniform[:, None], np.nan))
                traits.rankings[stream].append(steps.mean(axis=1))
                if ranking == DIRECT:
                    self._shares[stream].add(share)

    def rankings(self, stream: str) -> dict[str, FloatArray]:
        """Return ranking -> importance of each step, averaged over traits, shape (N, T)."""
        return {
            ranking: np.concatenate(traits.rankings[stream])
            for ranking, traits in self._traits.items()
            if stream in traits.rankings
        }

    def measurements(
        self, clip_ids: tuple[str, ...], key_kinds: Mapping[str, str]
    ) -> AttentionMeasurements:
        """Return the measurements. Attention maps with only one key in every clip are omitted.

        `clip_ids` are the ids of all clips, in the order of the batches.
        """
        entropy = {name: np.concatenate(parts) for name, parts in self._entropy.items()}
        names = [name for name, values in entropy.items() if np.isfinite(values).any()]
        missing = {name: _ONE_KEY for name in entropy if name not in names}
        if not names:
            return AttentionMeasurements(missing={WHOLE: _ONE_KEY, **missing})
        sample_maps = {name: self._maps[name].samples for name in names}
        direct, rollout = self._traits[DIRECT], self._traits[ROLLOUT]
        return AttentionMeasurements(
            clip_ids=clip_ids,
            key_kinds=dict(key_kinds),
            num_keys=self._num_keys,
            mean_maps={name: self._maps[name].mean for name in names},
            entropy={name: entropy[name] for name in names},
            agreement={name: self._agreement[name].mean for name in names},
            trait_attention=_means(direct.steps),
            trait_rollout=_means(rollout.steps),
            trait_share=_means(self._shares),
            trait_attention_even=_means(direct.uniform),
            trait_rollout_even=_means(rollout.uniform),
            sample_ids=clip_ids[: len(sample_maps[names[0]])],
            sample_maps=sample_maps,
            sample_trait_attention=_samples(direct.steps),
            sample_trait_rollout=_samples(rollout.steps),
            missing=missing,
        )


class _TraitAttention:
    """Attention from the traits to each stream, for one ranking."""

    def __init__(self, num_samples: int) -> None:
        self.steps: dict[str, RunningMean] = defaultdict(partial(RunningMean, num_samples))
        self.uniform: dict[str, RunningMean] = defaultdict(RunningMean)
        self.rankings: dict[str, list[FloatArray]] = defaultdict(list)


def _means(by_stream: Mapping[str, RunningMean]) -> dict[str, FloatArray]:
    return {stream: running.mean for stream, running in by_stream.items()}


def _samples(by_stream: Mapping[str, RunningMean]) -> dict[str, FloatArray]:
    return {stream: running.samples for stream, running in by_stream.items()}
