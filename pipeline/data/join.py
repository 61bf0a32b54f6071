"""Find the labels and the group of each clip by its id, never by row position.

Legend: N clips, K traits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import pandas as pd

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.core.errors import ConfigError
from pipeline.core.near_names import did_you_mean
from pipeline.data.clip_names import ClipMatch, clip_stem, match_clips
from pipeline.data.groups import Groups, assign_groups, is_group_table
from pipeline.data.readers.label_table import Labels
from pipeline.data.readers.table_file import find_id_column, letters_of, read_text_table

_GROUP_COLUMNS: Final = (
    *("group", "groupid", "person", "personid", "subject", "subjectid", "participant"),
    *("participantid", "speaker", "speakerid", "actor"),
)
"""Names of columns with groups in a table for `--groups`, in the order of preference."""


@dataclass(frozen=True, kw_only=True, eq=False)
class JoinedLabels:
    """Labels of a sequence of clips."""

    scores: FloatArray
    """Scores in [0, 1], shape (N, K), float32; NaN for clips without labels."""
    groups: tuple[str, ...] | None
    """Group of each clip, "" for clips without labels; None if the annotations have no groups."""
    splits: tuple[str, ...] | None
    """Subset of each clip, "" for clips without labels; None if the annotations have no subsets."""
    match: ClipMatch
    """Clips with and without labels, and labels without a clip."""

    @property
    def is_labelled(self) -> BoolArray:
        """Whether each clip has labels, shape (N,)."""
        return self.match.rows >= 0


def join_labels(labels: Labels, clip_ids: Sequence[str]) -> JoinedLabels:
    """Find the labels of each clip. The folders and the file suffixes of the ids may differ.

    Raises:
        FeatureSetError: If two ids of the clips, or of the labels, name the same clip.
    """
    known = labels.scores.index.tolist()
    match = match_clips(clip_ids, known, origins=("the clips", "the annotations"))
    is_labelled = match.rows >= 0
    scores = np.full((len(clip_ids), labels.scores.shape[1]), np.nan, dtype=np.float32)
    scores[is_labelled] = labels.scores.to_numpy()[match.rows[is_labelled]]
    return JoinedLabels(
        scores=scores,
        groups=_joined_column(labels.groups, match),
        splits=_joined_column(labels.splits, match),
        match=match,
    )


def find_groups(
    clip_ids: Sequence[str],
    paths: Sequence[str],
    rule: str = "",
    *,
    given: Sequence[str] | None = None,
    origin: str = "",
) -> Groups:
    """Find the group of each clip.

    Args:
        clip_ids: Id of each clip.
        paths: Path of each clip below the directory of all clips.
        rule: Value of `--groups`: a table with the id and the group of each clip, or a rule for
            `assign_groups`.
        given: Groups from a column `group`, used if there is no rule.
        origin: File that contains this column `group`.

    Raises:
        ConfigError: If a clip has no group.
    """
    if is_group_table(rule):
        return _groups_in_table(Path(rule), clip_ids)
    if rule or given is None:
        return assign_groups(paths, rule)
    if "" in given:
        clip_id = clip_ids[list(given).index("")]
        raise ConfigError(
            f"{origin}: the clip {clip_id!r} has a blank group. Fill it in, or give --groups."
        )
    return Groups(names=tuple(given), rule=f"from the column group of {origin}")


def _groups_in_table(path: Path, clip_ids: Sequence[str]) -> Groups:
    table = read_text_table(path)
    columns = list(table)
    by_name = {letters_of(name): name for name in reversed(columns)}
    group_column = next((by_name[name] for name in _GROUP_COLUMNS if name in by_name), None)
    if group_column is None:
        raise ConfigError(
            f"--groups {path}: has no column group.{did_you_mean('group', columns)} The columns "
            f"are {', '.join(columns)}. Rename the column with the person of each clip to group."
        )
    id_column = find_id_column(columns) or _column_with_ids(table, clip_ids)
    if id_column is None:
        raise ConfigError(
            f"--groups {path}: has no column clip_id, and no column contains ids of the clips, for "
            f"example {clip_ids[0]}. The columns are {', '.join(columns)}."
        )
    origins = ("the clips", str(path))
    match = match_clips(clip_ids, table[id_column].tolist(), origins=origins)
    names = _joined_column(table[group_column], match) or ()
    if "" in names:
        clip_id = clip_ids[names.index("")]
        nearest = f" The nearest row: {match.nearest}." if match.nearest else ""
        raise ConfigError(
            f"--groups {path}: {names.count('')} of {len(clip_ids)} clips have no group. The first "
            f"is {clip_id!r}.{nearest} Add them to the table."
        )
    return Groups(names=names, rule=f"from {path}")


def _column_with_ids(table: pd.DataFrame, clip_ids: Sequence[str]) -> str | None:
    """Return the column with the most ids of the clips, or None if no column has any."""
    known = {name for each in clip_ids for name in (each, clip_stem(PurePosixPath(each).name))}
    counts = {name: sum(value.strip() in known for value in table[name]) for name in table}
    best = max(counts, key=counts.__getitem__, default=None)
    return best if best is not None and counts[best] else None


def _joined_column(column: pd.Series | None, match: ClipMatch) -> tuple[str, ...] | None:
    if column is None:
        return None
    values = column.tolist()
    return tuple(values[row].strip() if row >= 0 else "" for row in match.rows.tolist())
