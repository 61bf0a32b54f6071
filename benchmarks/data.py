"""Generated feature sets with a linear signal.

Shapes: N clips, T steps, D width, K traits.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.traits import NUM_TRAITS

_MEAN, _FEATURE_SCALE, _LABEL_SCALE = 0.525, 0.1, 0.15
_GROUP_SHARE: Final = 0.3
_SIGNAL: Final = 0.7
"""Correlation between a label, or a feature of a pooled stream, and the common factors."""
_BLOCK_VALUES: Final = 4_000_000

PAIR: Final[Mapping[str, tuple[int, ...]]] = {"static": (6,), "dynamic": (6,)}
"""Shapes of two streams of scores per clip, as in experiments/first_impressions.yaml."""
VECTORS: Final[Mapping[str, tuple[int, ...]]] = {"static": (512,), "dynamic": (256,)}
SEQUENCES: Final[Mapping[str, tuple[int, ...]]] = {"static": (16, 512), "dynamic": (16, 256)}
SMALL_SEQUENCES: Final[Mapping[str, tuple[int, ...]]] = {"static": (8, 64), "dynamic": (8, 32)}


def write_set(
    features_dir: Path,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    num_clips: int,
    clips_per_group: float = 2.3,
    seed: int = 0,
) -> Path:
    """Write a feature set, in blocks, and return its directory.

    Labels and features depend linearly on common factors, plus noise. Clips of a group have similar
    factors. The features of a sequence have the same signal in each step.

    Args:
        features_dir: New directory.
        shapes: Stream -> shape of one clip, (T, D) or (D,).
        num_clips: Number of clips, N.
        clips_per_group: Mean number of clips per group.
        seed: Seed of the data.
    """
    features_dir.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    num_groups = max(2, round(num_clips / clips_per_group))
    others = rng.integers(num_groups, size=max(0, num_clips - num_groups))
    group = np.sort(np.concatenate([np.arange(num_groups), others]))[:num_clips]
    shared = rng.standard_normal((num_groups, NUM_TRAITS))[group]
    own = rng.standard_normal((num_clips, NUM_TRAITS))
    factors = np.sqrt(_GROUP_SHARE) * shared + np.sqrt(1 - _GROUP_SHARE) * own
    noise = rng.standard_normal(factors.shape)
    labels = _MEAN + _LABEL_SCALE * _mixed(factors, noise)
    np.save(features_dir / "labels.npy", np.clip(labels, 0, 1).astype(np.float32))
    for name, shape in shapes.items():
        _write_stream(features_dir / f"{name}.npy", shape, factors, rng)
    table = pd.DataFrame(
        {
            "clip_id": [f"clip{row:06d}" for row in range(num_clips)],
            "group": [f"video{number:06d}" for number in group],
        }
    )
    table.to_csv(features_dir / "clips.csv", index=False)
    return features_dir


def write_subset(features_dir: Path, source_dir: Path, *, num_clips: int) -> Path:
    """Write the first clips of a feature set, in whole groups, and return the directory.

    The subset has at most `num_clips` clips.
    """
    from pipeline.data.feature_set import load_feature_set
    from pipeline.data.writer import StreamValues, write_feature_set

    source = load_feature_set(source_dir)
    _, codes = np.unique(source.groups, return_inverse=True)
    sizes = np.bincount(codes)
    chosen = np.flatnonzero(np.isin(codes, np.flatnonzero(np.cumsum(sizes) <= num_clips)))
    write_feature_set(
        features_dir,
        streams={
            name: StreamValues(values=stream.read(chosen))
            for name, stream in source.streams.items()
        },
        labels=source.checked_labels()[chosen],
        clips=pd.DataFrame({"clip_id": source.clip_ids[chosen], "group": source.groups[chosen]}),
        metadata={"traits": [{"name": name} for name in source.trait_names]},
    )
    return features_dir


def _write_stream(
    path: Path, shape: tuple[int, ...], factors: NDArray[Any], rng: np.random.Generator
) -> None:
    """Write the features of all clips, in blocks of limited memory."""
    num_clips = len(factors)
    directions = rng.standard_normal((factors.shape[1], shape[-1])) / np.sqrt(factors.shape[1])
    values = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(num_clips, *shape))
    size = max(1, _BLOCK_VALUES // int(np.prod(shape)))
    for begin in range(0, num_clips, size):
        signal = (factors[begin : begin + size] @ directions).astype(np.float32)
        noise = rng.standard_normal((len(signal), *shape), dtype=np.float32)
        signal = signal.reshape(len(signal), *(1 for _ in shape[:-1]), shape[-1])
        values[begin : begin + size] = _MEAN + _FEATURE_SCALE * _mixed(signal, noise)
    values.flush()


def _mixed(signal: NDArray[Any], noise: NDArray[Any]) -> NDArray[Any]:
    """Return the sum of signal and noise with unit variance."""
    mixed: NDArray[Any] = signal * np.float32(_SIGNAL) + noise * np.float32(np.sqrt(1 - _SIGNAL**2))
    return mixed
