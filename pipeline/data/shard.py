"""The files that make up a feature set, or one shard of it, opened and checked together."""

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
from pipeline.data.array_file import BOOLEANS, open_array
from pipeline.data.clip_table import number_clips, read_clips, refuse_duplicates
from pipeline.data.encoder import UNKNOWN, encoder_in, first_difference
from pipeline.data.stream import StreamPart
from pipeline.data.validation import (
    check_features,
    check_labels,
    check_mask,
    check_rows,
    check_seconds,
)

STATIC_NAME = "static.npy"
DYNAMIC_NAME = "dynamic.npy"
LABELS_NAME = "labels.npy"
CLIPS_NAME = "clips.csv"
METADATA_NAME = "features.json"
SECONDS_NAME = "seconds.npy"


@dataclass(frozen=True, kw_only=True)
class ShardPaths:
    """Where the files of a shard are; None for those that there are not."""

    static: Path
    """Features (N, Ts, Ds) or (N, Ds)."""

    dynamic: Path
    """Features (N, Td, Dd) or (N, Dd)."""

    labels: Path | None = None
    """Scores (N, 5)."""

    clips: Path | None = None
    """Table of the clips."""

    static_mask: Path | None = None
    """Valid steps (N, Ts)."""

    dynamic_mask: Path | None = None
    """Valid steps (N, Td)."""

    metadata: Path | None = None
    """How the features were made."""

    seconds: Path | None = None
    """When the steps are, (N, T)."""

    @classmethod
    def of_files(
        cls,
        *,
        static: Path,
        dynamic: Path,
        labels: Path | None = None,
        clips: Path | None = None,
        metadata: Path | None = None,
    ) -> "ShardPaths":
        """Return the given files and what is known of them by its place.

        That is the `<stem>_mask.npy` beside each stream, the `features.json` beside both of
        them where none is given, and the `seconds.npy` beside both where they have the names of
        the contract.
        """
        seconds = None
        if static.parent.resolve() == dynamic.parent.resolve():
            metadata = metadata or existing(static.with_name(METADATA_NAME))
            if (static.name, dynamic.name) == (STATIC_NAME, DYNAMIC_NAME):
                seconds = existing(static.with_name(SECONDS_NAME))
        return cls(
            static=static,
            dynamic=dynamic,
            labels=labels,
            clips=clips,
            static_mask=existing(mask_path(static)),
            dynamic_mask=existing(mask_path(dynamic)),
            metadata=metadata,
            seconds=seconds,
        )

    @classmethod
    def of_directory(cls, features_dir: Path) -> "ShardPaths":
        """Return the files of a directory, under the names of the contract."""
        return cls.of_files(
            static=features_dir / STATIC_NAME,
            dynamic=features_dir / DYNAMIC_NAME,
            labels=existing(features_dir / LABELS_NAME),
            clips=existing(features_dir / CLIPS_NAME),
        )

    @property
    def present(self) -> tuple[Path, ...]:
        """Every file of the shard."""
        paths = (
            self.static,
            self.static_mask,
            self.dynamic,
            self.dynamic_mask,
            self.seconds,
            self.labels,
            self.clips,
            self.metadata,
        )
        return tuple(path for path in paths if path is not None)


@dataclass(frozen=True, kw_only=True, eq=False)
class Shard:
    """The opened files of a shard; features stay memory maps."""

    paths: ShardPaths
    """Where the files are."""

    static: StreamPart
    """The static features."""

    dynamic: StreamPart
    """The dynamic features."""

    labels: FloatArray | None
    """Scores in [0, 1], shape (N, 5), float32."""

    clips: pd.DataFrame
    """One row of text a clip; numbered ids where there is no table."""

    metadata: dict[str, Any]
    """What `features.json` holds; nothing where it describes other files."""

    seconds: StreamPart | None = None
    """When the steps are, from the start of their clip, shape (N, T); NaN where unknown."""


def mask_path(features: Path) -> Path:
    """Return where the mask of a features file is: `<stem>_mask.npy` beside it."""
    return features.with_name(f"{features.stem}_mask.npy")


def existing(path: Path) -> Path | None:
    """Return the path if there is something at it, else None."""
    return path if path.exists() else None


def open_shard(paths: ShardPaths, *, needs_group: bool = True) -> Shard:
    """Open the files of one shard and check them against each other.

    Everything but the feature values is checked here; those are read in one streamed
    pass by `validation.finite_chunks`.

    Args:
        paths: Where the files are.
        needs_group: Whether a clips table without `group` is refused.

    Raises:
        FeatureSetError: If a file is missing, is not what it should be, or does not fit
            the others.
    """
    static, dynamic = open_array(paths.static), open_array(paths.dynamic)
    check_features(paths.static, static)
    check_features(paths.dynamic, dynamic)
    check_rows(paths.dynamic, len(dynamic), reference=paths.static, expected=len(static))
    clips = number_clips(len(static))
    if paths.clips is not None:
        clips = read_clips(paths.clips, needs_group=needs_group)
        check_rows(paths.clips, len(clips), reference=paths.static, expected=len(static))
    return Shard(
        paths=paths,
        static=_open_part(paths.static, static, paths.static_mask, clips),
        dynamic=_open_part(paths.dynamic, dynamic, paths.dynamic_mask, clips),
        labels=None if paths.labels is None else _read_labels(paths.labels, paths.static, clips),
        clips=clips,
        metadata={} if paths.metadata is None else _read_metadata(paths.metadata, paths),
        seconds=None if paths.seconds is None else _open_seconds(paths.seconds, static, dynamic),
    )


_CONTINUED: dict[str, Callable[[Shard], object]] = {
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
    """Refuse shards that do not continue the first one.

    Raises:
        FeatureSetError: Naming the two shards and what differs.
    """
    first = shards[0]
    for shard in shards[1:]:
        for what, of in _CONTINUED.items():
            if of(shard) != of(first):
                raise FeatureSetError(
                    f"{shard.paths.static.parent}: has {what} {of(shard)}, but "
                    f"{first.paths.static.parent} has {of(first)}. "
                    f"Extract both with the same settings, or move one of them away."
                )
        _refuse_other_encoder(first, shard)
    tables = [shard for shard in shards if shard.paths.clips is not None]
    if tables:
        refuse_duplicates(
            [shard.clips for shard in tables],
            [shard.paths.clips for shard in tables if shard.paths.clips is not None],
        )


def _refuse_other_encoder(first: Shard, shard: Shard) -> None:
    expected, found = encoder_in(first.metadata), encoder_in(shard.metadata)
    difference = first_difference(expected, found, "encoder")
    if difference is None:
        return
    here, there = shard.paths.static.parent, first.paths.static.parent
    if UNKNOWN in (expected, found):
        silent, named = (there, here) if expected == UNKNOWN else (here, there)
        raise FeatureSetError(
            f"{silent}: does not say what made its features, but {named} does. Put the "
            f"{METADATA_NAME} there that was written with them, or move one of them away."
        )
    raise FeatureSetError(
        f"{here}: was made in another way than {there}: {difference.name} is {difference.found} "
        f"here and {difference.expected} there. "
        f"Extract both with the same settings, or move one of them away."
    )


def _open_part(path: Path, values: Any, mask_file: Path | None, clips: pd.DataFrame) -> StreamPart:
    if mask_file is None:
        return StreamPart(path=path, values=values)
    mask = open_array(mask_file, kinds=BOOLEANS)
    check_mask(mask_file, mask, values, clips)
    return StreamPart(path=path, values=values, mask=mask)


def _open_seconds(path: Path, static: Any, dynamic: Any) -> StreamPart:
    seconds = open_array(path)
    check_seconds(path, seconds, (static, dynamic))
    return StreamPart(path=path, values=seconds)


def _read_labels(path: Path, static: Path, clips: pd.DataFrame) -> FloatArray:
    labels = open_array(path)
    check_rows(path, len(labels) if labels.ndim else 0, reference=static, expected=len(clips))
    with np.errstate(over="ignore"):  # refused just below
        labels = labels.astype(np.float32)
    check_labels(path, labels, clips)
    return labels


def _read_metadata(path: Path, paths: ShardPaths) -> dict[str, Any]:
    metadata = read_json(path)
    if not isinstance(metadata, dict):
        raise FeatureSetError(
            f"{path}: holds a JSON {type(metadata).__name__}, expected a mapping. "
            f"Write {{}} if there is nothing to say."
        )
    described = metadata.get("files")
    if isinstance(described, dict) and not {paths.static.name, paths.dynamic.name} <= set(
        described
    ):
        return {}  # of the set in whose directory these files happen to lie
    check_traits(path, metadata)
    if paths.labels is not None and paths.labels.parent.resolve() != path.parent.resolve():
        metadata.pop("traits", None)  # it describes the labels beside it, and others are given
    return metadata


def trait_labels(metadata: Mapping[str, Any]) -> tuple[TraitLabel, ...]:
    """Return how each trait is scored by the entry `traits` of a `features.json`; () without."""
    return pydantic.TypeAdapter(tuple[TraitLabel, ...]).validate_python(metadata.get("traits", ()))


def check_traits(path: Path, metadata: Mapping[str, Any]) -> tuple[TraitLabel, ...]:
    """Return how each trait is scored by the entry `traits` of a file.

    Args:
        path: The `features.json` of a set or the `data.json` of a run.
        metadata: Its content.

    Raises:
        FeatureSetError: If the entry cannot be used, or names other traits.
    """
    try:
        traits = trait_labels(metadata)
    except pydantic.ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in ("traits", *fault["loc"]))
        raise FeatureSetError(
            f"{path}: {place} cannot be used ({fault['msg']}). Write one entry per trait, "
            '{"name": ..., "is_reversed": true or false, "note": ...}, or drop `traits`.'
        ) from error
    names = tuple(trait.name for trait in traits)
    if names not in ((), TRAITS):
        raise FeatureSetError(
            f"{path}: `traits` names {', '.join(names)}, expected {', '.join(TRAITS)} in this "
            "order, as labels.npy has its columns. Correct the names, or drop `traits`."
        )
    return traits
