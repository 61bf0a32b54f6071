"""Join extracted features with annotations, by clip id and never by row position.

Shape letters: N clips with features, T steps, D width.
"""

from collections.abc import Iterable, Mapping, Sequence
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
from pipeline.data.writer import write_feature_set

# fmt: off
VIDEO_SUFFIXES: Final = frozenset({
    ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".m1v", ".m2t", ".m2ts", ".m2v",
    ".m4v", ".mkv", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".ogm", ".ogv", ".qt",
    ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m",
})
# fmt: on
"""Suffixes that a clip id may have in one file and lack in another."""

_CARRIED: Final = ("encoder", "settings")
"""Entries of `features.json` that hold for the same features in another set, too."""


@dataclass(frozen=True, kw_only=True, eq=False)
class JoinedLabels:
    """The labels found for a sequence of clips."""

    labels: FloatArray
    """Scores in OCEAN order, shape (N, 5), float32; NaN where a clip has none."""

    is_labelled: BoolArray
    """Which clips have labels, shape (N,)."""

    unlabelled: tuple[str, ...]
    """Ids of the clips without labels."""

    unused_annotations: int
    """The number of annotated clips without features."""

    nearest: str = ""
    """The first clip without labels and the annotated id most like it, in words."""


@dataclass(frozen=True, kw_only=True)
class PreparedSummary:
    """What `prepare_feature_set` wrote and what it left out."""

    num_clips: int
    """Clips in the feature set."""

    num_groups: int
    """Source videos or persons among them."""

    unlabelled: tuple[str, ...]
    """Ids of the clips that were dropped, as no file annotates them."""

    unused_annotations: int
    """The number of annotated clips without features."""

    traits: tuple[TraitLabel, ...]
    """How each trait is scored; empty if the annotations do not say it."""


def clip_stem(clip_id: str) -> str:
    """Return a clip id without its video suffix: files and annotations may differ in it."""
    stem, dot, ending = clip_id.rpartition(".")
    return stem if f"{dot}{ending.lower()}" in VIDEO_SUFFIXES else clip_id


def join_annotations(annotations: Annotations, feature_ids: Sequence[str]) -> JoinedLabels:
    """Find the labels of each clip by its id, with or without the video suffix.

    Args:
        annotations: The annotated scores.
        feature_ids: Ids of the clips with features, length N.

    Raises:
        AnnotationError: If ids of one side differ only in their suffix.
    """
    scores = annotations.scores
    annotated, wanted = _stems(scores.index, "annotations"), _stems(feature_ids, "features")
    positions = pd.Index(list(annotated)).get_indexer(list(wanted))
    is_labelled = positions >= 0
    labels = np.full((len(feature_ids), NUM_TRAITS), np.nan, dtype=np.float32)
    labels[is_labelled] = scores.to_numpy()[positions[is_labelled]]
    unlabelled = tuple(
        clip for clip, found in zip(feature_ids, is_labelled, strict=True) if not found
    )
    return JoinedLabels(
        labels=labels,
        is_labelled=is_labelled,
        unlabelled=unlabelled,
        unused_annotations=len(scores) - int(is_labelled.sum()),
        nearest=_nearest(unlabelled[0], annotated) if unlabelled else "",
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
    """Write a feature set of extracted features and annotations, joined by clip id.

    Args:
        annotations_paths: Files for `read_annotations`.
        static_features: `.npy` file, shape (N, T, D) or (N, D). A `<stem>_mask.npy`
            beside it is taken along; the same holds for `dynamic_features`.
        dynamic_features: `.npy` file of the same clips in the same order.
        clips: CSV with the `clip_id` of each row of the arrays. Further columns are
            kept; `group` is derived by `group_of` where there is none.
        features_dir: Where the feature set is written.
        allow_unlabelled: Whether to drop clips that no file annotates.

    Raises:
        AnnotationError: If annotations cannot be read, or a clip has none and
            `allow_unlabelled` is False.
        FeatureSetError: If the features or the table break the contract.
    """
    shard = open_shard(
        ShardPaths.of_files(static=static_features, dynamic=dynamic_features, clips=clips),
        needs_group=False,
    )
    table = shard.clips
    annotations = read_annotations(annotations_paths)
    joined = join_annotations(annotations, table["clip_id"].tolist())
    _refuse_unlabelled(clips, joined, allow_unlabelled=allow_unlabelled)
    if "group" not in table:
        table.insert(1, "group", [group_of(clip) for clip in table["clip_id"]])
    write_feature_set(
        features_dir,
        static=shard.static.values,
        static_mask=shard.static.mask,
        dynamic=shard.dynamic.values,
        dynamic_mask=shard.dynamic.mask,
        seconds=None if shard.seconds is None else shard.seconds.values,
        labels=joined.labels,
        clips=table,
        metadata={
            **{name: shard.metadata[name] for name in _CARRIED if name in shard.metadata},
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


def _nearest(clip_id: str, annotated: Mapping[str, str]) -> str:
    near = nearest_name(clip_stem(normalize_identifier(clip_id)), annotated)
    if near is None:
        return f"{clip_id!r}, and no annotation has a name like it"
    return f"{clip_id!r}, and the annotation with the nearest name is of {annotated[near]!r}"


def _stems(clip_ids: Iterable[str], side: str) -> dict[str, str]:
    stems: dict[str, str] = {}
    for clip_id in clip_ids:
        stem = clip_stem(normalize_identifier(clip_id))
        if stem in stems:
            raise AnnotationError(
                f"The {side} hold both {stems[stem]!r} and {clip_id!r}, which name the same clip. "
                f"Drop or rename one of them."
            )
        stems[stem] = clip_id
    return stems


def _refuse_unlabelled(clips: Path, joined: JoinedLabels, *, allow_unlabelled: bool) -> None:
    num_unlabelled, num_clips = len(joined.unlabelled), len(joined.is_labelled)
    if num_unlabelled == 0 or (allow_unlabelled and num_unlabelled < num_clips):
        return
    cure = "Check that both spell the ids alike"
    if num_unlabelled < num_clips:
        cure += (
            "; add the annotation file that holds these clips, or drop them with "
            "`--allow_unlabelled true`"
        )
    raise AnnotationError(
        f"{clips}: {num_unlabelled} of {num_clips} clips have no annotation. The first is "
        f"{joined.nearest}. {cure}."
    )
