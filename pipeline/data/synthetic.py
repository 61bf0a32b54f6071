"""The built-in data set. A model needs the face frames and the flow windows to predict the traits.

In each clip, one step is marked. The face frame of this step encodes the traits of the clip. The
face frames of all other steps encode the traits of other clips. The flow window of the marked step
contains a marker. To predict the traits, a model must use this marker to select the frame.
Cross-attention can do this. Because the annotation noise is known, the best possible R² is known.

Legend: N clips, T steps, D width, K traits.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import pandas as pd

from pipeline.config.schema import SyntheticConfig
from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.errors import FeatureSetError
from pipeline.core.files import read_json
from pipeline.core.seeds import generator
from pipeline.core.traits import NUM_TRAITS
from pipeline.data.shard import METADATA_NAME
from pipeline.data.writer import StreamValues, write_feature_set

_LOW, _HIGH = 0.2, 0.8
_CODE_SCALE = 2.0
_MARKER_SCALE = 3.0
_GROUP_SHARE = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticClips:
    """Generated clips, with their noise-free scores and their marked steps."""

    static: FloatArray
    """Face frames, shape (N, T, D)."""
    dynamic: FloatArray
    """Flow windows, shape (N, T, D)."""
    labels: FloatArray
    """Annotated scores, shape (N, K): noise-free scores plus noise, clipped to [0, 1]."""
    truth: FloatArray
    """Scores without annotation noise, shape (N, K)."""
    marked_step: IntArray
    """Index of the step that encodes the traits of the clip, shape (N,)."""
    clips: pd.DataFrame
    """Clip table: `clip_id`, `group`, `camera`, `marked_step`."""


def generate_clips(config: SyntheticConfig) -> SyntheticClips:
    """Generate the clips; the same configuration gives the same clips on every machine."""
    rng = generator(config.seed, "synthetic")
    num_groups = -(-config.num_clips // config.clips_per_group)
    group = np.repeat(np.arange(num_groups), config.clips_per_group)[: config.num_clips]
    # Clips of a group have similar scores.
    shared = rng.uniform(_LOW, _HIGH, (num_groups, NUM_TRAITS))[group]
    own = rng.uniform(_LOW, _HIGH, (config.num_clips, NUM_TRAITS))
    truth = _GROUP_SHARE * shared + (1.0 - _GROUP_SHARE) * own
    marked_step = rng.integers(config.num_steps, size=config.num_clips)
    noise = rng.normal(0.0, config.noise, truth.shape)
    return SyntheticClips(
        static=_face_frames(rng, config, truth, marked_step),
        dynamic=_flow_windows(rng, config, marked_step),
        labels=np.clip(truth + noise, 0.0, 1.0).astype(np.float32),
        truth=truth,
        marked_step=marked_step,
        clips=_clip_table(rng, group, marked_step),
    )


def ensure_synthetic_set(features_dir: Path, config: SyntheticConfig) -> None:
    """Write the built-in set to `features_dir` if it does not exist.

    Raises:
        FeatureSetError: If the directory contains another feature set.
    """
    features_dir.parent.mkdir(parents=True, exist_ok=True)
    settings = dataclasses.asdict(config)
    description = features_dir / METADATA_NAME
    # The lock prevents two processes from writing the set at the same time.
    with filelock.FileLock(features_dir.with_name(f".{features_dir.name}.lock")):
        if not description.exists():
            generated = generate_clips(config)
            write_feature_set(
                features_dir,
                streams={
                    "static": StreamValues(values=generated.static),
                    "dynamic": StreamValues(values=generated.dynamic),
                },
                labels=generated.labels,
                clips=generated.clips,
                metadata={"encoder": "synthetic", "synthetic": settings},
            )
    if read_json(description).get("synthetic") != settings:
        raise FeatureSetError(
            f"{features_dir}: is not the feature set that data.synthetic describes. "
            "Give another data.features_dir, or delete the directory to generate it again."
        )


def best_possible_r2(config: SyntheticConfig, clip_ids: list[str]) -> float:
    """Return the best possible R² on the given clips: the mean R² of the noise-free scores."""
    generated = generate_clips(config)
    rows = generated.clips["clip_id"].isin(clip_ids).to_numpy()
    labels = generated.labels[rows].astype(np.float64)
    residual = ((labels - generated.truth[rows]) ** 2).sum(axis=0)
    total = ((labels - labels.mean(axis=0)) ** 2).sum(axis=0)
    return float((1.0 - residual / total).mean())


def _face_frames(
    rng: np.random.Generator, config: SyntheticConfig, truth: FloatArray, marked_step: IntArray
) -> FloatArray:
    shape = (config.num_clips, config.num_steps)
    codes = truth[rng.integers(config.num_clips, size=shape)]
    codes[np.arange(config.num_clips), marked_step] = truth
    directions = np.linalg.qr(rng.normal(size=(config.static_dim, NUM_TRAITS)))[0]
    spread = truth.std(axis=0)
    frames: FloatArray = _CODE_SCALE * ((codes - truth.mean(axis=0)) / spread) @ directions.T
    frames = frames + rng.normal(0.0, 0.1, frames.shape)
    return frames.astype(np.float32)


def _flow_windows(
    rng: np.random.Generator, config: SyntheticConfig, marked_step: IntArray
) -> FloatArray:
    shape = (config.num_clips, config.num_steps, config.dynamic_dim)
    windows = rng.normal(0.0, 0.5, shape)
    marker = rng.normal(size=config.dynamic_dim)
    marker *= _MARKER_SCALE / np.linalg.norm(marker)
    windows[np.arange(config.num_clips), marked_step] += marker
    return windows.astype(np.float32)


def _clip_table(rng: np.random.Generator, group: IntArray, marked_step: IntArray) -> pd.DataFrame:
    starts = np.r_[True, group[1:] != group[:-1]]
    number = np.arange(len(group)) - np.flatnonzero(starts)[group]
    cameras = np.array(["indoors", "outdoors"])[rng.integers(2, size=group.max() + 1)]
    return pd.DataFrame(
        {
            "clip_id": [f"video{g:05d}.{n:03d}" for g, n in zip(group, number, strict=True)],
            "group": [f"video{g:05d}" for g in group],
            "camera": cameras[group],
            "marked_step": marked_step.astype(str),
        }
    )
