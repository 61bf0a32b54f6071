"""Replace the labels of a feature set by those of a label table."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.core.errors import AnnotationError
from pipeline.core.traits import traits_entry
from pipeline.data.feature_set import FeatureSet
from pipeline.data.join import find_groups, join_labels
from pipeline.data.readers.annotations import read_labels
from pipeline.data.readers.label_table import LabelOptions


def with_label_table(
    features: FeatureSet, paths: Sequence[Path], options: LabelOptions
) -> FeatureSet:
    """Return the feature set with the labels of these files, joined by clip id.

    If the files have groups or subsets, these replace the columns `group` and `split` of the clip
    table.

    Raises:
        AnnotationError: If a file is not valid, or a clip has no annotation.
        ConfigError: If a clip has a blank group.
    """
    labels = read_labels(paths, options)
    joined = join_labels(labels, features.clip_ids.tolist())
    num_missing = len(joined.match.missing)
    if num_missing:
        raise AnnotationError(
            f"{', '.join(map(str, paths))}: {num_missing} of {features.num_clips} clips have no "
            f"annotation. The first is {joined.match.nearest}. Check that both files use the same "
            "ids, or build a set of the annotated clips with `prepare --allow_unlabelled true`."
        )
    clips, ids = features.clips, features.clip_ids.tolist()
    if joined.groups is not None:
        origin = ", ".join(map(str, paths))
        clips = clips.assign(
            group=list(find_groups(ids, ids, given=joined.groups, origin=origin).names)
        )
    if joined.splits is not None:
        clips = clips.assign(split=list(joined.splits))
    names = tuple(labels.scores)
    sha256 = hashlib.sha256(f"{features.digest} {' '.join(names)}\n".encode())
    sha256.update(joined.scores.astype("<f4").ravel().data)
    sha256.update(clips.to_csv(index=False, lineterminator="\n").encode())
    return dataclasses.replace(
        features,
        labels=np.ascontiguousarray(joined.scores),
        trait_names=names,
        clips=clips,
        has_groups=features.has_groups or joined.groups is not None,
        digest=sha256.hexdigest(),
        metadata={**features.metadata, **traits_entry(labels.traits)},
        sources=(*features.sources, *paths),
    )
