"""List the clips of an extraction with their groups, subsets and annotated scores."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core.arrays import FloatArray
from pipeline.core.traits import TraitLabel
from pipeline.data.clip_names import unmatched_table
from pipeline.data.groups import Groups
from pipeline.data.join import find_groups, join_labels
from pipeline.data.readers.annotations import read_labels
from pipeline.data.readers.label_table import LabelOptions
from pipeline.extraction.sources import clip_path, find_sources, select_annotated
from pipeline.extraction.tasks import ClipSource, Result


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipList:
    """Clips of an extraction, in the order of their ids."""

    sources: Sequence[ClipSource]
    """Files of each usable clip."""
    failed: Sequence[Result]
    """Clips that cannot be used, for instance because they have no annotation."""
    unused: Sequence[Result]
    """Files that belong to no clip."""
    groups: Groups
    """Group of each clip."""
    columns: pd.DataFrame
    """Columns `group` and, if the annotations have subsets, `split`; index: clip id."""
    scores: Mapping[str, FloatArray]
    """Clip id -> annotated scores, shape (K,); empty without annotations."""
    traits: tuple[TraitLabel, ...] = ()
    """Name and direction of each trait; empty without annotations."""
    unmatched: pd.DataFrame | None = None
    """Clips without annotation, and annotations without a clip."""

    def part(self, shard: tuple[int, int]) -> "ClipList":
        """Return part i of n parts, for `shard` (i, n); i is counted from 1."""
        rows = slice(shard[0] - 1, None, shard[1])
        return dataclasses.replace(
            self,
            sources=self.sources[rows],
            failed=self.failed[rows],
            unused=self.unused[rows],
            groups=dataclasses.replace(self.groups, names=self.groups.names[rows]),
        )


def list_clips(
    videos_dir: Path | None,
    face_dir: Path | None,
    flow_dir: Path | None,
    *,
    annotations: Sequence[Path] = (),
    label_options: LabelOptions | None = None,
    groups: str = "",
) -> ClipList:
    """Find the clips in the given directories, their annotations and their groups.

    The arguments are those of `extract_features`.

    Raises:
        AnnotationError: If an annotation file is not valid.
        ConfigError: If a clip has no group.
        ExtractionError: If a directory contains no clip, or no clip is usable.
    """
    sources, failed, unused = find_sources(videos_dir, face_dir, flow_dir)
    labels = joined = None
    rows = np.arange(len(sources))
    if annotations:
        labels = read_labels(annotations, label_options)
        joined = join_labels(labels, [each.clip_id for each in sources])
        rows = np.flatnonzero(joined.is_labelled)
        sources, unlabelled = select_annotated(sources, joined)
        failed += unlabelled
    clip_ids = [each.clip_id for each in sources]
    given = None if joined is None else joined.groups
    assigned = find_groups(
        clip_ids,
        [clip_path(each, videos_dir, face_dir, flow_dir) for each in sources],
        groups,
        given=None if given is None else [given[row] for row in rows],
        origin="the annotations",
    )
    columns = pd.DataFrame({"group": assigned.names}, index=clip_ids, dtype=str)
    if joined is not None and joined.splits is not None:
        columns["split"] = [joined.splits[row] for row in rows]
    clips = ClipList(
        sources=sources,
        failed=failed,
        unused=unused,
        groups=assigned,
        columns=columns,
        scores={},
    )
    if labels is None or joined is None:
        return clips
    return dataclasses.replace(
        clips,
        scores=dict(zip(clip_ids, joined.scores[rows], strict=True)),
        traits=labels.traits,
        unmatched=unmatched_table(joined.match, origins=("the recordings", "the annotations")),
    )
