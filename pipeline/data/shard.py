"""Open and check the files of a shard, and check that the shards of a feature set agree.

Legend: N clips, T steps, D width. The suffixes `s` and `d` mean the static and dynamic stream.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydantic

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import FeatureSetError
from pipeline.core.files import read_json
from pipeline.core.traits import TRAITS, TraitLabel
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

STATIC_NAME = "static.npy"
DYNAMIC_NAME = "dynamic.npy"
LABELS_NAME = "labels.npy"
CLIPS_NAME = "clips.csv"
METADATA_NAME = "features.json"
SECONDS_NAME = "seconds.npy"


@dataclass(frozen=True, kw_only=True)
class ShardPaths:
    """Paths of the files of a shard; None for a missing file."""

    static: Path
    """Static features, shape (N, Ts, Ds) or (N, Ds)."""
    static_mask: Path | None = None
    """True for valid static steps, shape (N, Ts)."""
    dynamic: Path
    """Dynamic features, shape (N, Td, Dd) or (N, Dd)."""
    dynamic_mask: Path | None = None
    """True for valid dynamic steps, shape (N, Td)."""
    seconds: Path | None = None
    """Times of the steps, shape (N, T)."""
    labels: Path | None = None
    """Scores, shape (N, 5)."""
    clips: Path | None = None
    """Table of the clips."""
    metadata: Path | None = None
    """Description of the features."""

    @classmethod
    def of_files(
        cls, *, static: Path, dynamic: Path, labels: Path | None = None, clips: Path | None = None
    ) -> "ShardPaths":
        """Return the given paths, and add the existing files that belong to the streams.

        The mask of `static.npy` is `static_mask.npy` in the same directory. If both streams are in
        one directory, its `features.json` is added. If both streams also have standard names,
        `seconds.npy` is added.
        """
        metadata = seconds = None
        if static.parent.resolve() == dynamic.parent.resolve():
            metadata = _existing(static.with_name(METADATA_NAME))
            if (static.name, dynamic.name) == (STATIC_NAME, DYNAMIC_NAME):
                seconds = _existing(static.with_name(SECONDS_NAME))
        return cls(
            static=static,
            dynamic=dynamic,
            labels=labels,
            clips=clips,
            static_mask=_existing(static.with_name(f"{static.stem}_mask.npy")),
            dynamic_mask=_existing(dynamic.with_name(f"{dynamic.stem}_mask.npy")),
            metadata=metadata,
            seconds=seconds,
        )

    @classmethod
    def of_directory(cls, features_dir: Path) -> "ShardPaths":
        """Return the paths of the files with standard names in a directory."""
        return cls.of_files(
            static=features_dir / STATIC_NAME,
            dynamic=features_dir / DYNAMIC_NAME,
            labels=_existing(features_dir / LABELS_NAME),
            clips=_existing(features_dir / CLIPS_NAME),
        )

    @property
    def present(self) -> tuple[Path, ...]:
        """All files of the shard."""
        return tuple(path for path in vars(self).values() if path is not None)


@dataclass(frozen=True, kw_only=True, eq=False)
class Shard:
    """Opened files of a shard; features are memory maps."""

    paths: ShardPaths
    static: StreamPart
    dynamic: StreamPart
    labels: FloatArray | None
    """Scores in [0, 1], shape (N, 5), float32."""
    clips: pd.DataFrame
    """One row per clip, cells of type str. Without a clip file, `number_clips` makes the table."""
    metadata: dict[str, Any]
    """Content of `features.json`; empty if the file is missing or describes other arrays."""
    seconds: StreamPart | None = None
    """Times of the steps from the start of the clip, shape (N, T); NaN if unknown."""


def open_shard(paths: ShardPaths, *, needs_group: bool = True) -> Shard:
    """Open the files of one shard, and check their consistency.

    The feature values are not read here. `finite_chunks` reads and checks the values.

    Raises:
        FeatureSetError: If a file is missing, is not valid, or does not match another file.
    """
    static, dynamic = open_array(paths.static), open_array(paths.dynamic)
    check_features(paths.static, static)
    check_features(paths.dynamic, dynamic)
    check_num_rows(paths.dynamic, len(dynamic), reference=paths.static, expected=len(static))
    clips = number_clips(len(static))
    if paths.clips is not None:
        clips = read_clips(paths.clips, needs_group=needs_group)
        check_num_rows(paths.clips, len(clips), reference=paths.static, expected=len(static))
    seconds = None
    if paths.seconds is not None:
        times = open_array(paths.seconds)
        check_seconds(paths.seconds, times, (static, dynamic))
        seconds = StreamPart(path=paths.seconds, values=times)
    labels = None
    if paths.labels is not None:
        given = open_array(paths.labels)
        num_rows = len(given) if given.ndim else 0
        check_num_rows(paths.labels, num_rows, reference=paths.static, expected=len(clips))
        with np.errstate(over="ignore"):  # `check_labels` rejects infinite labels
            labels = given.astype(np.float32)
        check_labels(paths.labels, labels, clips)
    return Shard(
        paths=paths,
        static=_open_part(paths.static, static, paths.static_mask, clips),
        dynamic=_open_part(paths.dynamic, dynamic, paths.dynamic_mask, clips),
        labels=labels,
        clips=clips,
        metadata={} if paths.metadata is None else _read_metadata(paths.metadata, paths),
        seconds=seconds,
    )


_SHARED_PROPERTIES: dict[str, Callable[[Shard], object]] = {
    "static features of shape (clips,) +": lambda shard: shard.static.values.shape[1:],
    "dynamic features of shape (clips,) +": lambda shard: shard.dynamic.values.shape[1:],
    "the files": lambda shard: ", ".join(
        path.name for path in shard.paths.present if path != shard.paths.metadata
    ),
    "the columns": lambda shard: ", ".join(shard.clips.columns),
    "labels scored in reverse:": lambda shard: (
        ", ".join(trait.name for trait in trait_labels(shard.metadata) if trait.is_reversed)
        or "none"
    ),
}


def check_agreement(shards: Sequence[Shard]) -> None:
    """Check that all shards have the same format and encoder, and that no clip is in two shards.

    Raises:
        FeatureSetError: If two shards differ or have a clip in common.
    """
    first = shards[0]
    there = first.paths.static.parent
    fix = "Extract both shards with the same settings, or move one of them away."
    for shard in shards[1:]:
        here = shard.paths.static.parent
        for name, property_of in _SHARED_PROPERTIES.items():
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


def _open_part(path: Path, values: Any, mask_path: Path | None, clips: pd.DataFrame) -> StreamPart:
    if mask_path is None:
        return StreamPart(path=path, values=values)
    mask = open_array(mask_path, kinds=BOOLEANS)
    check_mask(mask_path, mask, values, clips)
    return StreamPart(path=path, values=values, mask=mask)


def _read_metadata(path: Path, paths: ShardPaths) -> dict[str, Any]:
    metadata = read_json(path)
    if not isinstance(metadata, dict):
        raise FeatureSetError(
            f"{path}: must contain a JSON object, but contains a {type(metadata).__name__}. "
            f"Write {{}} if you have no metadata."
        )
    described = metadata.get("files")
    streams = {paths.static.name, paths.dynamic.name}
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
    names = tuple(trait.name for trait in traits)
    if names not in ((), TRAITS):
        raise FeatureSetError(
            f"{path}: `traits` must contain {', '.join(TRAITS)} in the column order of labels.npy, "
            f"but contains {', '.join(names)}. Correct the names, or drop `traits`."
        )
    if paths.labels is not None and paths.labels.parent.resolve() != path.parent.resolve():
        metadata.pop("traits", None)  # `traits` describes only labels in the directory of this file
    return metadata
