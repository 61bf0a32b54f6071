"""Keep the changes that a person made in `clips.csv` when the table is written again."""

import logging
from pathlib import Path
from typing import Final

import pandas as pd

from pipeline.core.files import write_text
from pipeline.data.clip_table import read_clips
from pipeline.data.shard import CLIPS_NAME
from pipeline.extraction.sources import CACHE_NAME

_logger = logging.getLogger(__name__)

_COPY_NAME: Final = "clips.csv"
"""File name of the copy of the last written table, in the cache folder."""


def save_copy(features_dir: Path, table: pd.DataFrame) -> None:
    """Save a copy of the table that the extraction has written."""
    text = table.to_csv(index=False, lineterminator="\n")
    write_text(features_dir / CACHE_NAME / _COPY_NAME, text)


def with_edits(features_dir: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Return a new table with the changes that a person made in the table of the last extraction.

    A cell was changed if it differs from the copy that `save_copy` wrote. Added columns are kept.
    If the new table also has another value in a changed cell, the change of the person is kept, and
    a warning names the first such cell.

    Args:
        features_dir: Directory of the last extraction.
        table: New table, cells of type str; `clip_id` is unique.
    """
    path, copy_path = features_dir / CLIPS_NAME, features_dir / CACHE_NAME / _COPY_NAME
    if not (path.exists() and copy_path.exists()):
        return table
    edited = read_clips(path).set_index("clip_id")
    written = read_clips(copy_path).set_index("clip_id").reindex(edited.index)
    new = table.astype(str).set_index("clip_id")
    both = new.index.intersection(edited.index)
    conflicts = []
    for column in edited.columns:
        if column not in written:
            new[column] = ""
            new.loc[both, column] = edited.loc[both, column]
            continue
        if column not in new:
            continue
        is_edited = edited.loc[both, column] != written.loc[both, column]
        rows = both[is_edited.to_numpy()]
        values = edited.loc[rows, column]
        is_conflict = (new.loc[rows, column] != written.loc[rows, column]) & (
            new.loc[rows, column] != values
        )
        conflicts += [(clip_id, column) for clip_id in rows[is_conflict.to_numpy()]]
        new.loc[rows, column] = values
    if conflicts:
        clip_id, column = conflicts[0]
        _logger.warning(
            "%s: %d cells were changed by hand and have other new values; the changes were kept. "
            "The first is %s of %s. To use the new values, remove %s.",
            path,
            len(conflicts),
            column,
            clip_id,
            CLIPS_NAME,
        )
    return new.reset_index()
