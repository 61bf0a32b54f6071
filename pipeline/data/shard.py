"""Open and check the files of a shard, and check that the shards of a feature set agree.

Legend: N clips, T steps, D width, K traits.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydantic

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import FeatureSetError
from pipeline.core.files import read_json
from pipeline.core.stream_names import (
    MASK_ENDING,
    SECONDS_ENDING,
    ordered_streams,
    stream_name_fault,
)
from pipeline.core.traits import (
    TRAITS,
    TraitLabel,
    describe_ranges,
    label_ranges,
    trait_names_fault,
)
from pipeline.data.array_file import (
    BOOLEANS,
    check_features,
    check_labels,
    check_mask,
    check_num_rows,
    check_seconds,
    open_array,
)
from pipeline.data.clip_table import check_unique_clips, number_clips, read_clips
from pipeline.data.encoder import UNKNOWN, encoder_in, first_difference
from pipeline.data.stream import StreamPart

LABELS_NAME = "labels.npy"
CLIPS_NAME = "clips.csv"
METADATA_NAME = "features.json"
SECONDS_NAME = "seconds.npy"

_NO_STREAMS = (LABELS_NAME, SECONDS_NAME)
_ENDINGS = (MASK_ENDING, SECONDS_ENDING)


@dataclass(frozen=True, kw_only=True)
class StreamPaths:
    """Paths of the files of a stream; None for a missing file."""

    values: Path
    """Features, shape (N, T, D) or (N, D)."""
    mask: Path | None = None
    """True for valid steps, shape (N, T); for vectors, shape (N, 1) or (N,)."""
    seconds: Path | None = None
    """Times of the steps of this stream, shape (N, T)."""

    @classmethod
    def of_values(cls, values: Path) -> "StreamPaths":
        """Return the path of the features, and the existing files that belong to it."""
        mask, seconds = (values.parent / f"{values.stem}{ending}.npy" for ending in _ENDINGS)
        return cls(values=values, mask=_existing(mask), seconds=_existing(seconds))

    @property
    def present(self) -> tuple[Path, ...]:
        """All files of the stream."""
        return tuple(path for path in vars(self).values() if path is not None)


@dataclass(frozen=True, kw_only=True)
class ShardPaths:
    """Paths of the files of a shard; None for a missing file."""

    streams: Mapping[str, StreamPaths]
    """Name of each stream -> its files, in the order of the streams."""
    seconds: Path | None = None
    """Times of the steps, shape (N, T), for each stream that has T steps."""
    labels: Path | None = None
    """Scores, shape (N, K)."""
    clips: Path | None = None
    """Table of the clips."""
    metadata: Path | None = None
    """Description of the features."""
    is_selection: bool = False
    """Whether the streams were chosen by name. Then `seconds` may belong to other streams."""

    @classmethod
    def of_files(
        cls, streams: Mapping[str, Path], *, labels: Path | None = None, clips: Path | None = None
    ) -> "ShardPaths":
        """Return the given paths, and add the existing files that belong to the streams.

        The mask of `static.npy` is `static_mask.npy` in the same directory. If all streams are in
        one directory, its `features.json` is added. If all streams also have standard names,
        `seconds.npy` is added.
        """
        metadata = seconds = None
        first = next(iter(streams.values()))
        if len({path.parent.resolve() for path in streams.values()}) == 1:
            metadata = _existing(first.parent / METADATA_NAME)
            if all(path.name == f"{name}.npy" for name, path in streams.items()):
                seconds = _existing(first.parent / SECONDS_NAME)
        return cls(
            streams={name: StreamPaths.of_values(path) for name, path in streams.items()},
            labels=labels,
            clips=clips,
            metadata=metadata,
            seconds=seconds,
        )

    @classmethod
    def of_directory(cls, features_dir: Path, *, streams: Sequence[str] = ()) -> "ShardPaths":
        """Return the paths of the files with standard names in a directory.

        `streams` chooses and orders the streams. If it is empty, all streams are used, in the order
        of the entry `streams` of `features.json`; without this entry, in that of `ordered_streams`.

        Raises:
            FeatureSetError: If a stream has an invalid name, or a name in `streams` or
                `features.json` has no file, or a file is not in the entry `streams` of
                `features.json`.
        """
        found = stream_files(features_dir)
        _check_owners(features_dir, found)
        for name, path in found.items():
            if fault := stream_name_fault(name):
                raise FeatureSetError(
                    f"{path}: is a stream with the name {name!r}, but a name {fault}. Rename the "
                    f"file, or move it away."
                )
        names = _stream_order(features_dir, found)
        unknown = [name for name in streams if name not in names]
        if unknown:
            raise FeatureSetError(
                f"{features_dir}: has no stream {unknown[0]}; the streams are {', '.join(names)}. "
                f"Add {unknown[0]}.npy, or choose other streams (--data.streams)."
            )
        paths = cls.of_files(
            {name: found[name] for name in streams or names},
            labels=_existing(features_dir / LABELS_NAME),
            clips=_existing(features_dir / CLIPS_NAME),
        )
        return dataclasses.replace(paths, is_selection=bool(streams))

    @property
    def directory(self) -> Path:
        """Directory of the first stream."""
        return next(iter(self.streams.values())).values.parent

    @property
    def present(self) -> tuple[Path, ...]:
        """All files of the shard."""
        others = (self.seconds, self.labels, self.clips, self.metadata)
        streams = [path for stream in self.streams.values() for path in stream.present]
        return (*streams, *(path for path in others if path is not None))


@dataclass(frozen=True, kw_only=True, eq=False)
class Shard:
    """Opened files of a shard; features are memory maps."""

    paths: ShardPaths
    streams: Mapping[str, StreamPart]
    """Name of each stream -> its features, in the order of the streams."""
    labels: FloatArray | None
    """Scores in [0, 1], shape (N, K), float32."""
    trait_names: tuple[str, ...]
    """Names of the K columns of the labels."""
    clips: pd.DataFrame
    """One row per clip, cells of type str. Without a clip file, `number_clips` makes the table."""
    metadata: dict[str, Any]
    """Content of `features.json`; empty if the file is missing or describes other arrays."""
    seconds: Mapping[str, StreamPart]
    """Name of each stream with times -> times of its steps from the start of the clip, shape
    (N, T); NaN if unknown."""


def stream_files(features_dir: Path) -> dict[str, Path]:
    """Return the name and the file of each stream in a directory, sorted by name.

    Every `.npy` file is a stream, except labels, masks and times.
    """
    paths = sorted(features_dir.glob("*.npy"))
    return {
        path.stem: path
        for path in paths
        if path.name not in _NO_STREAMS
        and not path.name.startswith(".")
        and not path.stem.endswith(_ENDINGS)
    }


def open_shard(paths: ShardPaths, *, needs_group: bool = True) -> Shard:
    """Open the files of one shard, and check their consistency.

    The feature values are not read here. `finite_chunks` reads and checks the values.

    Raises:
        FeatureSetError: If a file is missing, is not valid, or does not match another file.
    """
    arrays = {name: open_array(stream.values) for name, stream in paths.streams.items()}
    (first, *_), num_clips = paths.streams.values(), 0
    for name, stream in paths.streams.items():
        check_features(stream.values, arrays[name])
        num_clips = num_clips or len(arrays[name])
        check_num_rows(stream.values, len(arrays[name]), reference=first.values, expected=num_clips)
    clips = number_clips(num_clips)
    if paths.clips is not None:
        clips = read_clips(paths.clips, needs_group=needs_group)
        check_num_rows(paths.clips, len(clips), reference=first.values, expected=num_clips)
    metadata = {} if paths.metadata is None else _read_metadata(paths.metadata, paths)
    trait_names = tuple(trait.name for trait in trait_labels(metadata)) or TRAITS
    labels = None
    if paths.labels is not None:
        given = open_array(paths.labels, prepare_option="--annotations FILE")
        num_rows = len(given) if given.ndim else 0
        check_num_rows(paths.labels, num_rows, reference=first.values, expected=num_clips)
        with np.errstate(over="ignore"):  # `check_labels` rejects infinite labels
            labels = given.astype(np.float32)
        check_labels(paths.labels, labels, clips, trait_names)
    return Shard(
        paths=paths,
        streams={name: _open_part(stream, arrays[name]) for name, stream in paths.streams.items()},
        labels=labels,
        trait_names=trait_names,
        clips=clips,
        metadata=metadata,
        seconds=_open_seconds(paths, arrays),
    )


def _shared_properties(names: Iterable[str]) -> dict[str, Callable[[Shard], object]]:
    shapes: dict[str, Callable[[Shard], object]] = {
        f"{name} features of shape (clips,) +": (
            lambda shard, name=name: shard.streams[name].values.shape[1:]  # type: ignore[misc]
        )
        for name in names
    }
    return {
        "the streams": lambda shard: ", ".join(shard.streams),
        **shapes,
        "the files": lambda shard: ", ".join(
            path.name for path in shard.paths.present if path != shard.paths.metadata
        ),
        "the columns": lambda shard: ", ".join(shard.clips.columns),
        "the traits": lambda shard: ", ".join(shard.trait_names),
        "labels scored in reverse:": lambda shard: (
            ", ".join(trait.name for trait in trait_labels(shard.metadata) if trait.is_reversed)
            or "none"
        ),
        "annotations from": lambda shard: describe_ranges(
            dict.fromkeys(shard.trait_names, (0.0, 1.0))
            | label_ranges(trait_labels(shard.metadata))
        ),
    }


def check_agreement(shards: Sequence[Shard]) -> None:
    """Check that all shards have the same format and encoder, and that no clip is in two shards.

    Raises:
        FeatureSetError: If two shards differ or have a clip in common.
    """
    first = shards[0]
    there = first.paths.directory
    fix = "Extract both shards with the same settings, or move one of them away."
    for shard in shards[1:]:
        here = shard.paths.directory
        for name, property_of in _shared_properties(first.streams).items():
            found, expected = property_of(shard), property_of(first)
            if found != expected:
                raise FeatureSetError(
                    f"{here}: has {name} {found}, but {there} has {expected}. {fix}"
                )
        expected, found = encoder_in(first.metadata), encoder_in(shard.metadata)
        difference = first_difference(expected, found, "encoder")
        if difference and UNKNOWN in (expected, found):
            unknown, known = (there, here) if expected == UNKNOWN else (here, there)
            raise FeatureSetError(
                f"{unknown}: the encoder is unknown, but the encoder of {known} is given. Add the "
                f"{METADATA_NAME} that was written with the features, or move one shard away."
            )
        if difference:
            raise FeatureSetError(
                f"{here}: has other features than {there}: {difference.name} is "
                f"{difference.found} here and {difference.expected} there. {fix}"
            )
    tables = {shard.paths.clips: shard.clips for shard in shards if shard.paths.clips is not None}
    if tables:
        check_unique_clips(list(tables.values()), list(tables))


def trait_labels(metadata: Mapping[str, Any]) -> tuple[TraitLabel, ...]:
    """Return the entry `traits` of a `features.json`; () if the entry is missing."""
    return pydantic.TypeAdapter(tuple[TraitLabel, ...]).validate_python(metadata.get("traits", ()))


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def _check_owners(features_dir: Path, streams: Mapping[str, Path]) -> None:
    for ending in _ENDINGS:
        for path in sorted(features_dir.glob(f"*{ending}.npy")):
            if path.stem.removesuffix(ending) not in streams and not path.name.startswith("."):
                owner = f"{path.stem.removesuffix(ending)}.npy"
                raise FeatureSetError(
                    f"{path}: belongs to {features_dir / owner}, but there is no such file. Add "
                    f"{owner}, or move {path.name} away."
                )


def _stream_order(features_dir: Path, found: Mapping[str, Path]) -> tuple[str, ...]:
    path = features_dir / METADATA_NAME
    metadata = _read_object(path) if path.exists() else {}
    given = metadata.get("streams")
    described = metadata.get("files")
    if given is None:
        # Without the entry `streams`, the entry `files` shows whether a stream is missing.
        files = [Path(name) for name in described] if isinstance(described, dict) else []
        is_stream = [
            each.name not in _NO_STREAMS and not each.stem.endswith(_ENDINGS) for each in files
        ]
        expected = [each.stem for each, is_one in zip(files, is_stream, strict=True) if is_one]
    elif isinstance(given, list) and all(isinstance(name, str) for name in given):
        expected = given
    else:
        raise FeatureSetError(
            f"{path}: `streams` must be a list of names, but is {str(given)[:80]}. Write the names "
            f"in the order of the streams, or drop `streams`."
        )
    for name in expected:
        if name not in found:
            raise FeatureSetError(
                f"{path}: describes the stream {name}, but {features_dir / name}.npy: there is no "
                f"such file. Add the file, or remove the name."
            )
    if given is None:
        return ordered_streams(found)
    for name, file in found.items():
        if name not in given:
            raise FeatureSetError(
                f"{file}: is not in `streams` of {METADATA_NAME} ({', '.join(given)}). Add the "
                f"name {name} there, or move the file away."
            )
    return tuple(dict.fromkeys(given))


def _open_part(paths: StreamPaths, values: Any) -> StreamPart:
    if paths.mask is None:
        return StreamPart(path=paths.values, values=values)
    mask = open_array(paths.mask, kinds=BOOLEANS)
    check_mask(paths.mask, mask, values)
    if mask.ndim == 1:
        mask = mask[:, np.newaxis]
    return StreamPart(path=paths.values, values=values, mask=mask)


def _open_seconds(paths: ShardPaths, arrays: Mapping[str, Any]) -> dict[str, StreamPart]:
    found = {}
    if paths.seconds is not None:
        times = open_array(paths.seconds)
        if not paths.is_selection:
            check_seconds(paths.seconds, times, [*arrays.values()])
        shared = StreamPart(path=paths.seconds, values=times)
        found = {
            name: shared
            for name, values in arrays.items()
            if values.ndim > 2 and values.shape[:2] == times.shape
        }
    for name, stream in paths.streams.items():
        if stream.seconds is not None:
            times = open_array(stream.seconds)
            check_seconds(stream.seconds, times, [arrays[name]])
            found[name] = StreamPart(path=stream.seconds, values=times)
    return {name: found[name] for name in arrays if name in found}


def _read_object(path: Path) -> dict[str, Any]:
    metadata = read_json(path)
    if not isinstance(metadata, dict):
        raise FeatureSetError(
            f"{path}: must contain a JSON object, but contains a {type(metadata).__name__}. "
            f"Write {{}} if you have no metadata."
        )
    return metadata


def _read_metadata(path: Path, paths: ShardPaths) -> dict[str, Any]:
    metadata = _read_object(path)
    described = metadata.get("files")
    streams = {stream.values.name for stream in paths.streams.values()}
    if isinstance(described, dict) and not streams <= set(described):
        return {}  # the file describes other arrays in the directory
    try:
        traits = trait_labels(metadata)
    except pydantic.ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in ("traits", *fault["loc"]))
        raise FeatureSetError(
            f"{path}: {place} is not valid ({fault['msg']}). Write one entry per trait, "
            '{"name": ..., "is_reversed": true or false, "note": ...}, or drop `traits`.'
        ) from error
    if name_fault := trait_names_fault([trait.name for trait in traits]):
        raise FeatureSetError(
            f"{path}: `traits` must name the columns of labels.npy, but {name_fault}. "
            f"Correct the names, or drop `traits`."
        )
    if paths.labels is not None and paths.labels.parent.resolve() != path.parent.resolve():
        metadata.pop("traits", None)  # `traits` describes only labels in the directory of this file
    return metadata
