"""The feature set: features, labels and clip table for training.

A feature set is a directory. It contains one or more streams `NAME.npy`, e.g. `static.npy` and
`dynamic.npy`, and optionally `labels.npy`, masks, `seconds.npy`, `clips.csv` and `features.json`.
A sharded feature set is a directory of such directories.

Legend: N clips, T steps, D width, K traits. Rows are counted from 0.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import FeatureSetError
from pipeline.core.near_names import did_you_mean, did_you_mean_path
from pipeline.core.traits import TRAITS, TraitLabel
from pipeline.data.array_file import check_presence, finite_chunks
from pipeline.data.clip_table import number_clips
from pipeline.data.data_warnings import find_data_warnings
from pipeline.data.encoder import encoder_in
from pipeline.data.shard import (
    Shard,
    ShardPaths,
    check_agreement,
    open_shard,
    stream_files,
    trait_labels,
)
from pipeline.data.stream import Stream
from pipeline.records.data_description import DataWarning

_OTHER_FILES: Final = 512
"""Number of open files that the rest of the process may need, e.g. libraries and logs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureSet:
    """Validated clips: feature streams, labels and the table of clips."""

    streams: Mapping[str, Stream]
    """Name -> stream, in the order of the inputs of a model."""
    labels: FloatArray | None
    """Scores in [0, 1], shape (N, K), float32; None if there are no labels."""
    trait_names: tuple[str, ...] = TRAITS
    """Names of the K columns of the labels."""
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
    seconds: Mapping[str, Stream] = field(default_factory=dict)
    """Name of each stream with times -> times of its steps from the start of the clip, shape
    (N, T); NaN if unknown."""

    @property
    def num_clips(self) -> int:
        """The number of clips N."""
        return len(self.clips)

    @property
    def features_dir(self) -> Path:
        """Directory of the first stream, or of the first shard."""
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
        """Name and direction of each trait, in the order of the labels.

        Empty if the set does not describe its traits, which are then the OCEAN traits.
        """
        known = {trait.name: trait for trait in trait_labels(self.metadata)}
        if not known and self.trait_names == TRAITS:
            return ()
        return tuple(known.get(name, TraitLabel(name=name)) for name in self.trait_names)

    @cached_property
    def warnings(self) -> tuple[DataWarning, ...]:
        """Warnings about damaged features and similar ids. The first access reads all features."""
        return find_data_warnings(tuple(self.streams.values()), self.clips)

    def checked_labels(self) -> FloatArray:
        """Return the labels, shape (N, K).

        Raises:
            FeatureSetError: If there are no labels.
        """
        if self.labels is None:
            raise FeatureSetError(
                f"{self.features_dir}: has no labels.npy, but labels are needed. Add the file, "
                f"shape ({self.num_clips}, {len(self.trait_names)}) with the columns "
                f"{', '.join(self.trait_names)}, or join annotations with `prepare`."
            )
        return self.labels

    def with_masks(self) -> "FeatureSet":
        """Return the same set with a mask for every stream. A new mask is True for all steps."""
        streams = {
            name: stream
            if stream.has_mask
            else dataclasses.replace(
                stream,
                parts=tuple(
                    dataclasses.replace(
                        part, mask=np.ones((len(part.values), *stream.mask_shape), dtype=np.bool_)
                    )
                    for part in stream.parts
                ),
            )
            for name, stream in self.streams.items()
        }
        return dataclasses.replace(self, streams=streams)

    def select_streams(self, names: Sequence[str]) -> "FeatureSet":
        """Return a set with only these streams, in this order.

        The digest of the new set is computed from these streams, the labels and the clip table.

        Raises:
            FeatureSetError: If the set lacks one of these streams, or a clip has none of them.
        """
        if tuple(names) == tuple(self.streams):
            return self
        for name in names:
            if name not in self.streams:
                raise FeatureSetError(
                    f"{self.features_dir}: has no stream {name}; the streams are "
                    f"{', '.join(self.streams)}.{did_you_mean(name, self.streams)} Add "
                    f"{name}.npy, or choose other streams (--data.streams)."
                )
        streams = {name: self.streams[name] for name in names}
        check_presence(tuple(streams.values()), self.clips)
        return dataclasses.replace(
            self,
            streams=streams,
            seconds={name: self.seconds[name] for name in names if name in self.seconds},
            digest=_checked_hash(streams, self.labels, self.trait_names, self.clips),
        )


def load_feature_set(
    features_dir: Path,
    *,
    needs_group: bool = True,
    streams: Sequence[str] = (),
    traits: Sequence[str] = (),
) -> FeatureSet:
    """Load a feature set from a directory. Shards are loaded in the order of their names.

    The features stay on disk. They are read once, in chunks, to check and hash the values.

    Directories with a leading dot are ignored, because unfinished feature sets have such names.

    Args:
        features_dir: Directory of the set.
        needs_group: If False and the column `group` is missing, each clip is its own group.
        streams: Names and order of the streams; empty for all. Other streams are not opened.
        traits: Names and order of the columns of the labels; empty for all.

    Raises:
        FeatureSetError: If the directory or a file in it has a wrong format, or has no such stream
            or trait.
    """
    if not features_dir.is_dir():
        found = "is a file" if features_dir.exists() else "does not exist"
        raise FeatureSetError(
            f"{features_dir}: {found}, but must be a directory with one or more streams NAME.npy, "
            f"e.g. static.npy and dynamic.npy. Check the path, or extract the features first."
            f"{did_you_mean_path(features_dir)}"
        )
    is_shard = bool(stream_files(features_dir))
    shard_dirs = [features_dir] if is_shard else _shard_dirs(features_dir)
    if not shard_dirs:
        raise FeatureSetError(
            f"{features_dir}: has no stream NAME.npy, e.g. static.npy, not even in a "
            f"sub-directory. Check the path, or extract the features first."
        )
    paths = [ShardPaths.of_directory(shard_dir, streams=streams) for shard_dir in shard_dirs]
    return _open(paths, needs_group=needs_group, traits=traits)


def load_feature_files(
    streams: Mapping[str, Path],
    *,
    labels: Path | None = None,
    clips: Path | None = None,
    needs_group: bool = True,
    traits: Sequence[str] = (),
) -> FeatureSet:
    """Load a feature set from single files: features (N, T, D) or (N, D), and labels (N, K).

    All files contain the same clips in the same order. `ShardPaths.of_files` adds masks and
    `features.json` if these files are beside the features.

    Args:
        streams: Name -> file of each stream.
        labels: File of the labels.
        clips: Clip table.
        needs_group: If False and the column `group` is missing, each clip is its own group.
        traits: Names and order of the columns of the labels; empty for all.

    Raises:
        FeatureSetError: If a file has a wrong format.
    """
    paths = ShardPaths.of_files(streams, labels=labels, clips=clips)
    return _open([paths], needs_group=needs_group, traits=traits)


def _shard_dirs(features_dir: Path) -> list[Path]:
    visible = sorted(path for path in features_dir.iterdir() if not path.name.startswith("."))
    return [path for path in visible if path.is_dir() and stream_files(path)]


def _open(paths: Sequence[ShardPaths], *, needs_group: bool, traits: Sequence[str]) -> FeatureSet:
    _allow_open_files(sum(len(each.present) for each in paths), paths[-1].directory)
    shards = [open_shard(each, needs_group=needs_group) for each in paths]
    check_agreement(shards)
    streams = {
        name: Stream(name=name, parts=tuple(shard.streams[name] for shard in shards))
        for name in shards[0].streams
    }
    has_groups = paths[0].clips is not None
    if has_groups:
        clips = pd.concat([shard.clips for shard in shards], ignore_index=True)
        if "group" not in clips:
            clips.insert(1, "group", clips["clip_id"])
    else:
        clips = number_clips(sum(len(shard.clips) for shard in shards))
    check_presence(tuple(streams.values()), clips)
    labels, trait_names = _labels(shards, traits)
    return FeatureSet(
        streams=streams,
        labels=labels,
        trait_names=trait_names,
        clips=clips,
        has_groups=has_groups,
        digest=_checked_hash(streams, labels, trait_names, clips),
        metadata={
            key: value
            for key, value in shards[0].metadata.items()
            if all(key in shard.metadata and shard.metadata[key] == value for shard in shards)
        },
        sources=tuple(path for each in paths for path in each.present),
        seconds={
            name: Stream(name=name, parts=tuple(shard.seconds[name] for shard in shards))
            for name in shards[0].seconds
        },
    )


def _labels(
    shards: Sequence[Shard], traits: Sequence[str]
) -> tuple[FloatArray | None, tuple[str, ...]]:
    """Return the chosen columns of the labels, and their names."""
    given = shards[0].trait_names
    for name in traits:
        if name not in given:
            raise FeatureSetError(
                f"{shards[0].paths.directory}: has no trait {name}; the columns of the labels are "
                f"{', '.join(given)}.{did_you_mean(name, given)} Correct data.traits."
            )
    parts = [shard.labels for shard in shards if shard.labels is not None]
    if not parts:
        return None, tuple(traits) or given
    labels = np.concatenate(parts)
    if traits and tuple(traits) != given:
        labels = np.ascontiguousarray(labels[:, [given.index(name) for name in traits]])
    return labels, tuple(traits) or given


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
    streams: Mapping[str, Stream],
    labels: FloatArray | None,
    trait_names: Sequence[str],
    clips: pd.DataFrame,
) -> str:
    # The values are checked and hashed in one pass, because large feature sets are slow to read.
    sha256 = hashlib.sha256()
    for stream in streams.values():
        sha256.update(f"{stream.name} {stream.shape} {stream.has_mask}\n".encode())
        for values in finite_chunks(stream, clips):
            sha256.update(values.astype("<f4", copy=False).ravel().data)
        for part in stream.parts:
            if part.mask is not None:
                sha256.update(np.ascontiguousarray(part.mask).ravel().data)
    if labels is not None:
        sha256.update(labels.astype("<f4").ravel().data)
        if tuple(trait_names) != TRAITS:  # OCEAN sets keep the digest of early versions
            sha256.update(f"{' '.join(trait_names)}\n".encode())
    sha256.update(clips.to_csv(index=False, lineterminator="\n").encode())
    return sha256.hexdigest()
