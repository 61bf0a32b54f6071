"""The feature set: features, labels and clip table for training.

A feature set is a directory. It contains `static.npy` and `dynamic.npy`, and optionally
`labels.npy`, masks, `seconds.npy`, `clips.csv` and `features.json`. A sharded feature set is a
directory of such directories.

Legend: N clips, T steps, D width. Rows are counted from 0.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import FeatureSetError
from pipeline.core.near_names import did_you_mean_path
from pipeline.core.traits import TRAITS, TraitLabel
from pipeline.data.array_file import finite_chunks
from pipeline.data.clip_table import number_clips
from pipeline.data.data_warnings import find_data_warnings
from pipeline.data.encoder import encoder_in
from pipeline.data.shard import (
    DYNAMIC_NAME,
    STATIC_NAME,
    ShardPaths,
    check_agreement,
    open_shard,
    trait_labels,
)
from pipeline.data.stream import Stream
from pipeline.records.data_description import DataWarning

_OTHER_FILES: Final = 512
"""Number of open files that the rest of the process may need, e.g. libraries and logs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureSet:
    """Validated clips: two feature streams, labels and the table of clips."""

    static: Stream
    """Appearance of the face."""
    dynamic: Stream
    """Motion of the face."""
    labels: FloatArray | None
    """Scores in OCEAN order in [0, 1], shape (N, 5), float32; None if there are no labels."""
    clips: pd.DataFrame
    """Table with one row per clip: `clip_id`, `group` and other columns, all of type str."""
    has_groups: bool
    """False if there is no clip table. Each clip is then its own group."""
    digest: str
    """SHA-256 of the values: features and labels as float32, masks, clip table."""
    metadata: dict[str, Any]
    """Content of `features.json`; for a sharded set, the entries that are equal in all shards."""
    sources: tuple[Path, ...]
    """All opened files."""
    seconds: Stream | None = None
    """Times of the steps from the start of the clip, shape (N, T); NaN if unknown."""

    @property
    def num_clips(self) -> int:
        """The number of clips N."""
        return len(self.clips)

    @property
    def features_dir(self) -> Path:
        """Directory of the static features, or of the first shard."""
        return self.sources[0].parent

    @property
    def encoder(self) -> Any:
        """Encoder of the features as JSON values, or `unknown`."""
        return encoder_in(self.metadata)

    @cached_property
    def clip_ids(self) -> NDArray[np.str_]:
        """The unique id of each clip, shape (N,)."""
        return np.asarray(self.clips["clip_id"], dtype=np.str_)

    @cached_property
    def groups(self) -> NDArray[np.str_]:
        """The source video or person of each clip, shape (N,)."""
        return np.asarray(self.clips["group"], dtype=np.str_)

    @cached_property
    def split_column(self) -> NDArray[np.str_] | None:
        """The column `split` of the clip table, shape (N,); None if there is no such column."""
        if "split" not in self.clips:
            return None
        return np.asarray(self.clips["split"], dtype=np.str_)

    @cached_property
    def traits(self) -> tuple[TraitLabel, ...]:
        """Name and direction of each trait, in the order of the labels; empty if unknown."""
        return trait_labels(self.metadata)

    @cached_property
    def warnings(self) -> tuple[DataWarning, ...]:
        """Warnings about damaged features and similar ids. The first access reads all features."""
        return find_data_warnings((self.static, self.dynamic), self.clips)

    def checked_labels(self) -> FloatArray:
        """Return the labels, shape (N, 5).

        Raises:
            FeatureSetError: If there are no labels.
        """
        if self.labels is None:
            raise FeatureSetError(
                f"{self.features_dir}: has no labels.npy, but labels are needed. Add the file, "
                f"shape ({self.num_clips}, {len(TRAITS)}) with the columns {', '.join(TRAITS)}, "
                f"or join annotations with `prepare`."
            )
        return self.labels


def load_feature_set(features_dir: Path, *, needs_group: bool = True) -> FeatureSet:
    """Load a feature set from a directory. Shards are loaded in the order of their names.

    The features stay on disk. They are read once, in chunks, to check and hash the values.

    Directories with a leading dot are ignored, because unfinished feature sets have such names. If
    `needs_group` is False and the column `group` is missing, each clip is its own group.

    Raises:
        FeatureSetError: If the directory or a file in it has a wrong format.
    """
    if not features_dir.is_dir():
        found = "is a file" if features_dir.exists() else "does not exist"
        raise FeatureSetError(
            f"{features_dir}: {found}, but must be a directory with {STATIC_NAME} and "
            f"{DYNAMIC_NAME}. Check the path, or extract the features first."
            f"{did_you_mean_path(features_dir)}"
        )
    shard_dirs = [features_dir] if _is_shard(features_dir) else _shard_dirs(features_dir)
    if not shard_dirs:
        raise FeatureSetError(
            f"{features_dir}: has no {STATIC_NAME}, not even in a sub-directory. "
            f"Check the path, or extract the features first."
        )
    paths = [ShardPaths.of_directory(shard_dir) for shard_dir in shard_dirs]
    return _open(paths, needs_group=needs_group)


def load_feature_files(
    *,
    static_features: Path,
    dynamic_features: Path,
    labels: Path | None = None,
    clips: Path | None = None,
    needs_group: bool = True,
) -> FeatureSet:
    """Load a feature set from single files: features (N, T, D) or (N, D), and labels (N, 5).

    All files contain the same clips in the same order. `ShardPaths.of_files` adds masks and
    `features.json` if these files are beside the features.

    Raises:
        FeatureSetError: If a file has a wrong format.
    """
    paths = ShardPaths.of_files(
        static=static_features, dynamic=dynamic_features, labels=labels, clips=clips
    )
    return _open([paths], needs_group=needs_group)


def _is_shard(directory: Path) -> bool:
    # One stream is enough, so that an incomplete shard causes an error.
    return any((directory / name).exists() for name in (STATIC_NAME, DYNAMIC_NAME))


def _shard_dirs(features_dir: Path) -> list[Path]:
    visible = sorted(path for path in features_dir.iterdir() if not path.name.startswith("."))
    return [path for path in visible if _is_shard(path)]


def _open(paths: Sequence[ShardPaths], *, needs_group: bool) -> FeatureSet:
    _allow_open_files(sum(len(each.present) for each in paths), paths[-1].static.parent)
    shards = [open_shard(each, needs_group=needs_group) for each in paths]
    check_agreement(shards)
    static = Stream(name="static", parts=tuple(shard.static for shard in shards))
    dynamic = Stream(name="dynamic", parts=tuple(shard.dynamic for shard in shards))
    has_groups = paths[0].clips is not None
    if has_groups:
        clips = pd.concat([shard.clips for shard in shards], ignore_index=True)
        if "group" not in clips:
            clips.insert(1, "group", clips["clip_id"])
    else:
        clips = number_clips(static.shape[0])
    seconds = tuple(shard.seconds for shard in shards if shard.seconds is not None)
    labels = [shard.labels for shard in shards if shard.labels is not None]
    return FeatureSet(
        static=static,
        dynamic=dynamic,
        labels=np.concatenate(labels) if labels else None,
        clips=clips,
        has_groups=has_groups,
        digest=_checked_hash((static, dynamic), labels, clips),
        metadata={
            key: value
            for key, value in shards[0].metadata.items()
            if all(key in shard.metadata and shard.metadata[key] == value for shard in shards)
        },
        sources=tuple(path for each in paths for path in each.present),
        seconds=Stream(name="seconds", parts=seconds) if seconds else None,
    )


def _allow_open_files(num_files: int, features_dir: Path) -> None:
    """Increase the limit of open files of this process, because memory maps keep files open."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = num_files + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise FeatureSetError(
            f"{features_dir}: the set has {num_files} files, which must be open at once, but the "
            f"system allows {hard} open files. Raise the limit (`ulimit -Hn`), or use fewer shards."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _checked_hash(
    streams: Iterable[Stream], labels: Iterable[FloatArray], clips: pd.DataFrame
) -> str:
    # The values are checked and hashed in one pass, because large feature sets are slow to read.
    sha256 = hashlib.sha256()
    for stream in streams:
        sha256.update(f"{stream.name} {stream.shape} {stream.has_mask}\n".encode())
        for values in finite_chunks(stream, clips):
            sha256.update(values.astype("<f4", copy=False).ravel().data)
        for part in stream.parts:
            if part.mask is not None:
                sha256.update(np.ascontiguousarray(part.mask).ravel().data)
    for part_labels in labels:
        sha256.update(part_labels.astype("<f4", copy=False).ravel().data)
    sha256.update(clips.to_csv(index=False, lineterminator="\n").encode())
    return sha256.hexdigest()
