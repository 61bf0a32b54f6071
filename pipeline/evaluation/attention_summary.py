"""Gathers the attention of many clips, batch by batch, so that their maps need not fit in memory.

Shapes: N clips, M named clips, n clips of a batch, H heads, Q queries, T keys of one stream,
K traits.
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.evaluation.attention import (
    PaddedMean,
    attention_rollout,
    head_agreement,
    trait_attention,
    without_padding,
)
from pipeline.metrics.attention_entropy import map_masks, normalized_entropy
from pipeline.records.attention import WHOLE, AttentionMeasurements

DIRECT: Final = "traits"
"""The ranking of steps by the weights of the traits."""

ROLLOUT: Final = "rollout"
"""The ranking of steps by the weights of the traits, followed back through the blocks."""

_ONE_KEY: Final = (
    "no clip has more than one key to look at, and attention over one key is always 1."
)


class AttentionSummary:
    """Means over clips, numbers a clip, and whole maps of the first few clips.

    Args:
        num_keys: Tokens of each stream, in the order in which maps hold the streams.
        num_samples: Clips M whose maps are kept.
    """

    def __init__(self, num_keys: Mapping[str, int], *, num_samples: int) -> None:
        self._num_keys = dict(num_keys)
        kept = partial(_Kept, num_samples)
        self._maps: defaultdict[str, _Kept] = defaultdict(kept)
        self._entropy: defaultdict[str, list[FloatArray]] = defaultdict(list)
        self._agreement: defaultdict[str, PaddedMean] = defaultdict(PaddedMean)
        self._by_trait: dict[str, defaultdict[str, _Kept]] = {
            DIRECT: defaultdict(kept),
            ROLLOUT: defaultdict(kept),
        }
        self._share: defaultdict[str, PaddedMean] = defaultdict(PaddedMean)
        self._even: dict[str, defaultdict[str, PaddedMean]] = {
            DIRECT: defaultdict(PaddedMean),
            ROLLOUT: defaultdict(PaddedMean),
        }
        self._rankings: dict[str, defaultdict[str, list[FloatArray]]] = {
            DIRECT: defaultdict(list),
            ROLLOUT: defaultdict(list),
        }

    def add(self, weights: Mapping[str, FloatArray], step_masks: Mapping[str, BoolArray]) -> None:
        """Add a batch of clips.

        Args:
            weights: Weights by map, shape (n, H, Q, T).
            step_masks: True where a step or token is real, by stream, shape (n, T).
        """
        for name, values in weights.items():
            query_mask, key_mask = map_masks(name, step_masks)
            masks = {"query_mask": query_mask, "key_mask": key_mask}
            self._maps[name].add(without_padding(values, query_mask, key_mask))
            self._entropy[name].append(normalized_entropy(values, **masks))
            self._agreement[name].add(head_agreement(values, **masks))
        for ranking, attention in (
            (DIRECT, trait_attention(weights, self._num_keys)),
            (ROLLOUT, attention_rollout(weights, self._num_keys)),
        ):
            for stream, shares in attention.items():
                is_real = step_masks[stream]
                padded = np.where(is_real[:, None, :], shares, np.nan)
                self._by_trait[ranking][stream].add(padded)
                share = np.nansum(padded, axis=2)
                even = share.mean(axis=1) / np.maximum(is_real.sum(axis=1), 1)
                self._even[ranking][stream].add(np.where(is_real, even[:, None], np.nan))
                if ranking == DIRECT:
                    self._share[stream].add(share)
                self._rankings[ranking][stream].append(shares.mean(axis=1))

    def rankings(self, stream: str) -> dict[str, FloatArray]:
        """Return the importance of each step, the mean over traits, by ranking, shape (N, T)."""
        return {
            ranking: np.concatenate(by_stream[stream])
            for ranking, by_stream in self._rankings.items()
            if stream in by_stream
        }

    def measurements(
        self, clip_ids: tuple[str, ...], key_kinds: Mapping[str, str]
    ) -> AttentionMeasurements:
        """Return what was gathered, without maps that had no choice.

        Args:
            clip_ids: Names of all clips, in the order in which they were added.
            key_kinds: What the keys of each stream are.
        """
        entropy = {name: np.concatenate(parts) for name, parts in self._entropy.items()}
        names = [name for name, values in entropy.items() if np.isfinite(values).any()]
        missing = {name: _ONE_KEY for name in entropy if name not in names}
        if not names:
            return AttentionMeasurements(missing={WHOLE: _ONE_KEY, **missing})
        direct, rollout = self._by_trait[DIRECT], self._by_trait[ROLLOUT]
        return AttentionMeasurements(
            clip_ids=clip_ids,
            key_kinds=dict(key_kinds),
            num_keys=self._num_keys,
            mean_maps={name: self._maps[name].mean for name in names},
            entropy={name: entropy[name] for name in names},
            agreement={name: self._agreement[name].result() for name in names},
            trait_attention={stream: kept.mean for stream, kept in direct.items()},
            trait_rollout={stream: kept.mean for stream, kept in rollout.items()},
            trait_share={stream: mean.result() for stream, mean in self._share.items()},
            trait_attention_even={s: mean.result() for s, mean in self._even[DIRECT].items()},
            trait_rollout_even={s: mean.result() for s, mean in self._even[ROLLOUT].items()},
            sample_ids=clip_ids[: self._maps[names[0]].num_samples],
            sample_maps={name: self._maps[name].samples for name in names},
            sample_trait_attention={stream: kept.samples for stream, kept in direct.items()},
            sample_trait_rollout={stream: kept.samples for stream, kept in rollout.items()},
            missing=missing,
        )


class _Kept:
    """The mean over clips of an array a clip, and the arrays of the first few."""

    def __init__(self, num_samples: int) -> None:
        self._mean = PaddedMean()
        self._samples: list[FloatArray] = []
        self._max_samples = num_samples

    def add(self, values: FloatArray) -> None:
        self._mean.add(values)
        num_wanted = self._max_samples - self.num_samples
        if num_wanted > 0:
            self._samples.append(values[:num_wanted].copy())  # a view would keep the whole batch

    @property
    def num_samples(self) -> int:
        return sum(map(len, self._samples))

    @property
    def mean(self) -> FloatArray:
        return self._mean.result()

    @property
    def samples(self) -> FloatArray:
        return np.concatenate(self._samples)
