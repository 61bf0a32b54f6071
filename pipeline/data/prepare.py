"""Join features with annotations by clip id, never by row position.

Legend: N clips with features, T steps, D width.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.core.errors import AnnotationError
from pipeline.core.files import file_hash
from pipeline.core.identifiers import normalize_identifier
from pipeline.core.near_names import nearest_name
from pipeline.core.traits import NUM_TRAITS, TraitLabel, traits_entry
from pipeline.data.readers.annotations import Annotations, group_of, read_annotations
from pipeline.data.shard import ShardPaths, open_shard
from pipeline.data.writer import StreamValues, write_feature_set

# fmt: off
VIDEO_SUFFIXES: Final = frozenset({
    ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".m1v", ".m2t", ".m2ts", ".m2v",
    ".m4v", ".mkv", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".ogm", ".ogv", ".qt",
    ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m",
})
# fmt: on
"""Video suffixes. They are ignored in comparisons of clip ids."""

_COPIED_METADATA: Final = ("encoder", "settings")
"""Entries of `features.json` that are copied to the new set."""


@dataclass(frozen=True, kw_only=True, eq=False)
class JoinedLabels:
    """Labels of clips, found by clip id."""

    labels: FloatArray
    """Scores in OCEAN order, shape (N, 5), float32; NaN for clips without labels."""
    is_labelled: BoolArray
    """Whether each clip has labels, shape (N,)."""
    unlabelled: tuple[str, ...]
    """Ids of the clips without labels."""
    unused_annotations: int
    """Number of annotated clips without features."""
    nearest: str = ""
    """Text with the id of the first clip without labels, and the most similar annotated id."""


@dataclass(frozen=True, kw_only=True)
class PreparedSummary:
    """Result of `prepare_feature_set`."""

    num_clips: int
    """Number of clips in the feature set."""
    num_groups: int
    """Number of source videos or persons in the feature set."""
    unlabelled: tuple[str, ...]
    """Ids of the clips that were dropped because they have no annotation."""
    unused_annotations: int
    """Number of annotated clips without features."""
    traits: tuple[TraitLabel, ...]
    """Name and direction of each trait; empty if unknown."""


def clip_stem(clip_id: str) -> str:
    """Return a clip id without a video suffix."""
    stem, dot, ending = clip_id.rpartition(".")
    return stem if f"{dot}{ending.lower()}" in VIDEO_SUFFIXES else clip_id


def join_annotations(annotations: Annotations, feature_ids: Sequence[str]) -> JoinedLabels:
    """Find the labels of each clip by its id without a video suffix.

    Raises:
        AnnotationError: If two ids in the annotations, or in the features, differ only in their
            video suffix.
    """
    scores = annotations.scores
    annotated, wanted = _by_stem(scores.index, "annotations"), _by_stem(feature_ids, "features")
    positions = pd.Index(list(annotated)).get_indexer(list(wanted))
    is_labelled = positions >= 0
    labels = np.full((len(feature_ids), NUM_TRAITS), np.nan, dtype=np.float32)
    labels[is_labelled] = scores.to_numpy()[positions[is_labelled]]
    unlabelled = tuple(itertools.compress(feature_ids, ~is_labelled))
    nearest = ""
    if unlabelled:
        near = nearest_name(clip_stem(normalize_identifier(unlabelled[0])), annotated)
        fact = (
            f"the nearest annotated name is {annotated[near]!r}"
            if near
            else "no annotated name is similar"
        )
        nearest = f"{unlabelled[0]!r}, and {fact}"
    return JoinedLabels(
        labels=labels,
        is_labelled=is_labelled,
        unlabelled=unlabelled,
        unused_annotations=len(scores) - int(is_labelled.sum()),
        nearest=nearest,
    )


def prepare_feature_set(
    *,
    annotations_paths: Sequence[Path],
    static_features: Path,
    dynamic_features: Path,
    clips: Path,
    features_dir: Path,
    allow_unlabelled: bool = False,
) -> PreparedSummary:
    """Write a feature set from features and annotations, joined by clip id.

    Args:
        annotations_paths: Files for `read_annotations`.
        static_features: `.npy` file, shape (N, T, D) or (N, D). A mask beside the file is copied.
        dynamic_features: `.npy` file of the same clips in the same order.
        clips: CSV table with `clip_id`. If `group` is missing, `group_of` computes it from the id.
        features_dir: New or empty directory for the feature set.
        allow_unlabelled: If True, drop clips without annotation; if False, raise an error.

    Raises:
        AnnotationError: If annotations cannot be read, or a clip has no annotation and
            `allow_unlabelled` is False.
        FeatureSetError: If the features or the table have a wrong format.
    """
    shard = open_shard(
        ShardPaths.of_files({"static": static_features, "dynamic": dynamic_features}, clips=clips),
        needs_group=False,
    )
    table = shard.clips
    annotations = read_annotations(annotations_paths)
    joined = join_annotations(annotations, table["clip_id"].tolist())
    num_unlabelled, num_clips = len(joined.unlabelled), len(table)
    if num_unlabelled == num_clips or (num_unlabelled and not allow_unlabelled):
        fix = "Check that the annotations use the same ids"
        if num_unlabelled < num_clips:
            fix += "; add the annotations of these clips, or drop them (`--allow_unlabelled true`)"
        raise AnnotationError(
            f"{clips}: {num_unlabelled} of {num_clips} clips have no annotation. The first is "
            f"{joined.nearest}. {fix}."
        )
    if "group" not in table:
        table.insert(1, "group", [group_of(clip) for clip in table["clip_id"]])
    write_feature_set(
        features_dir,
        streams={
            name: StreamValues(
                values=part.values,
                mask=part.mask,
                seconds=shard.seconds[name].values if name in shard.seconds else None,
            )
            for name, part in shard.streams.items()
        },
        labels=joined.labels,
        clips=table,
        metadata={
            **{name: shard.metadata[name] for name in _COPIED_METADATA if name in shard.metadata},
            **traits_entry(annotations.traits),
            "annotations": {path.name: file_hash(path) for path in annotations_paths},
        },
        rows=np.flatnonzero(joined.is_labelled),
    )
    return PreparedSummary(
        num_clips=int(joined.is_labelled.sum()),
        num_groups=int(table["group"][joined.is_labelled].nunique()),
        unlabelled=joined.unlabelled,
        unused_annotations=joined.unused_annotations,
        traits=annotations.traits,
    )


def _by_stem(clip_ids: Iterable[str], origin: str) -> dict[str, str]:
    stems: dict[str, str] = {}
    for clip_id in clip_ids:
        stem = clip_stem(normalize_identifier(clip_id))
        if stem in stems:
            raise AnnotationError(
                f"The {origin} contain both {stems[stem]!r} and {clip_id!r}, which are ids of the "
                f"same clip. Drop or rename one of them."
            )
        stems[stem] = clip_id
    return stems
