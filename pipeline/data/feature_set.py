"""The feature set: the only thing that training reads.

A directory holds `static.npy` and `dynamic.npy`, optional `labels.npy`, masks,
`seconds.npy`, `clips.csv` and `features.json`; a directory of such directories is a sharded set.

Shape letters: N clips, T steps, D width. Rows are counted from 0.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import FeatureSetError
from pipeline.core.near_names import did_you_mean_path
from pipeline.core.traits import TRAITS, TraitLabel
from pipeline.data.clip_table import number_clips
from pipeline.data.data_warnings import find_data_warnings
from pipeline.data.file_limit import make_room_for
from pipeline.data.shard import (
    DYNAMIC_NAME,
    STATIC_NAME,
    Shard,
    ShardPaths,
    check_agreement,
    open_shard,
    trait_labels,
)
from pipeline.data.stream import Stream
from pipeline.data.validation import finite_chunks
from pipeline.records.data_description import DataWarning


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureSet:
    """A validated set of clips: two feature streams, and what is known of each clip."""

    static: Stream
    """What the face looks like."""

    dynamic: Stream
    """How it moves."""

    labels: FloatArray | None
    """Scores in OCEAN order in [0, 1], shape (N, 5), float32; None without labels."""

    clips: pd.DataFrame
    """`clip_id`, `group` and further columns, all text, in row order."""

    has_groups: bool
    """False without a clips table: ids are row numbers, and each clip is its own group."""

    digest: str
    """SHA-256 of what training reads; the same numbers have it however they are stored."""

    metadata: dict[str, Any]
    """What `features.json` says; of a sharded set, the entries that all shards share."""

    sources: tuple[Path, ...]
    """Every file that was opened."""

    seconds: Stream | None = None
    """When each step is, from the start of its clip, shape (N, T), NaN where unknown; None
    where the set does not say."""

    @property
    def num_clips(self) -> int:
        """The number of clips N."""
        return len(self.clips)

    @cached_property
    def clip_ids(self) -> NDArray[np.str_]:
        """The unique name of each clip, shape (N,)."""
        return np.asarray(self.clips["clip_id"], dtype=np.str_)

    @cached_property
    def groups(self) -> NDArray[np.str_]:
        """The source video or person of each clip, shape (N,)."""
        return np.asarray(self.clips["group"], dtype=np.str_)

    @cached_property
    def split_column(self) -> NDArray[np.str_] | None:
        """The side each clip was assigned by the table, shape (N,); None without one."""
        if "split" not in self.clips:
            return None
        return np.asarray(self.clips["split"], dtype=np.str_)

    @cached_property
    def traits(self) -> tuple[TraitLabel, ...]:
        """How each trait is scored, in the order of the labels; empty if nothing says it."""
        return trait_labels(self.metadata)

    @cached_property
    def warnings(self) -> tuple[DataWarning, ...]:
        """Signs that features or names are ruined; the first use reads every feature."""
        return find_data_warnings((self.static, self.dynamic), self.clips)

    def checked_labels(self) -> FloatArray:
        """Return the labels, shape (N, 5).

        Raises:
            FeatureSetError: If the set has none.
        """
        if self.labels is None:
            raise FeatureSetError(
                f"{self.sources[0].parent}: holds no labels.npy, which is needed here. Add it, "
                f"shape ({self.num_clips}, {len(TRAITS)}) with the columns {', '.join(TRAITS)}, "
                f"or join annotations with `prepare`."
            )
        return self.labels


def load_feature_set(features_dir: Path, *, needs_group: bool = True) -> FeatureSet:
    """Load a directory: one feature set, or its shards in the order of their names.

    Features stay on disk; they are read once, in chunks, to check and to digest them.

    Args:
        features_dir: Holds `static.npy`, or sub-directories that do. Names that begin
            with a dot are left out, as unfinished writes have them.
        needs_group: Whether a clips table without `group` is refused; without one each clip is
            its own group.

    Raises:
        FeatureSetError: If the directory or a file in it breaks the contract.
    """
    if not features_dir.is_dir():
        found = "is a file" if features_dir.exists() else "does not exist"
        raise FeatureSetError(
            f"{features_dir}: {found}, expected a directory with {STATIC_NAME} and "
            f"{DYNAMIC_NAME}. Check the path, or extract the features first."
            f"{did_you_mean_path(features_dir)}"
        )
    directories = [features_dir] if _is_shard(features_dir) else _shard_directories(features_dir)
    if not directories:
        raise FeatureSetError(
            f"{features_dir}: holds no {STATIC_NAME}, neither itself nor in a sub-directory. "
            f"Check the path, or extract the features first."
        )
    paths = [ShardPaths.of_directory(directory) for directory in directories]
    return _build(paths, needs_group=needs_group)


def load_feature_files(
    *,
    static_features: Path,
    dynamic_features: Path,
    labels: Path | None = None,
    clips: Path | None = None,
    needs_group: bool = True,
) -> FeatureSet:
    """Load a feature set whose files are given one by one.

    Args:
        static_features: `.npy` file, shape (N, T, D) or (N, D). A `<stem>_mask.npy`
            beside it is its mask; the same holds for `dynamic_features`.
        dynamic_features: `.npy` file of the same clips in the same order. A `features.json` in
            the directory of both says what made them.
        labels: `.npy` file, shape (N, 5).
        clips: CSV table of the clips.
        needs_group: Whether a table without `group` is refused.

    Raises:
        FeatureSetError: If a file breaks the contract.
    """
    paths = ShardPaths.of_files(
        static=static_features, dynamic=dynamic_features, labels=labels, clips=clips
    )
    return _build([paths], needs_group=needs_group)


def _is_shard(directory: Path) -> bool:
    # Either stream makes a shard, so that a half-copied one is refused, not left out.
    return any((directory / name).exists() for name in (STATIC_NAME, DYNAMIC_NAME))


def _shard_directories(features_dir: Path) -> list[Path]:
    visible = (path for path in features_dir.iterdir() if not path.name.startswith("."))
    return sorted(path for path in visible if path.is_dir() and _is_shard(path))


def _build(paths: Sequence[ShardPaths], *, needs_group: bool) -> FeatureSet:
    make_room_for(sum(len(each.present) for each in paths), paths[-1].static.parent)
    shards = [open_shard(each, needs_group=needs_group) for each in paths]
    check_agreement(shards)
    static = Stream(name="static", parts=tuple(shard.static for shard in shards))
    dynamic = Stream(name="dynamic", parts=tuple(shard.dynamic for shard in shards))
    has_groups = paths[0].clips is not None
    clips = _concatenate_clips(shards) if has_groups else number_clips(static.shape[0])
    seconds = tuple(shard.seconds for shard in shards if shard.seconds is not None)
    labels = [shard.labels for shard in shards if shard.labels is not None]
    return FeatureSet(
        static=static,
        dynamic=dynamic,
        labels=np.concatenate(labels) if labels else None,
        clips=clips,
        has_groups=has_groups,
        digest=_validated_digest((static, dynamic), labels, clips),
        metadata=_shared_entries([shard.metadata for shard in shards]),
        sources=tuple(path for each in paths for path in each.present),
        seconds=Stream(name="seconds", parts=seconds) if seconds else None,
    )


def _concatenate_clips(shards: Sequence[Shard]) -> pd.DataFrame:
    clips = pd.concat([shard.clips for shard in shards], ignore_index=True)
    if "group" not in clips:
        clips.insert(1, "group", clips["clip_id"])
    return clips


def _validated_digest(
    streams: Iterable[Stream], labels: Iterable[FloatArray], clips: pd.DataFrame
) -> str:
    # Checking and hashing share one pass: a set larger than memory is read only once.
    digest = hashlib.sha256()
    for stream in streams:
        digest.update(f"{stream.name} {stream.shape} {stream.has_mask}\n".encode())
        for values in finite_chunks(stream, clips):
            digest.update(values.astype("<f4", copy=False).ravel().data)
        for part in stream.parts:
            if part.mask is not None:
                digest.update(np.ascontiguousarray(part.mask).ravel().data)
    for part_labels in labels:
        digest.update(part_labels.astype("<f4", copy=False).ravel().data)
    digest.update(clips.to_csv(index=False, lineterminator="\n").encode())
    return digest.hexdigest()


def _shared_entries(mappings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    first, *others = mappings
    return {
        key: value
        for key, value in first.items()
        if all(key in other and other[key] == value for other in others)
    }
