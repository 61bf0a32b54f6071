"""The table of clips: one row per clip, in the row order of the arrays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from pipeline.core.errors import FeatureSetError
from pipeline.data.csv_table import read_csv_table

SPLIT_NAMES: Final = ("train", "validation", "test")
"""The values that a `split` column may hold."""


def read_clips(
    path: Path, *, needs_group: bool = True, allows_repeats: bool = False
) -> pd.DataFrame:
    """Read and check a clips table; every cell is text, and ids and groups are normalised.

    Args:
        path: CSV with `clip_id`, `group` (the source video or the person), optional
            `split` and any further columns.
        needs_group: Whether a table without `group` is refused.
        allows_repeats: Whether a clip may stand in several rows.

    Raises:
        FeatureSetError: If the table lacks a column or a row, names a clip twice, leaves
            an id or a group blank, or holds an unknown split.
    """
    columns = ("clip_id", "group") if needs_group else ("clip_id",)
    clips = read_csv_table(path, columns=columns, error=FeatureSetError)
    if clips.empty:
        raise FeatureSetError(f"{path}: holds no clips. Write one line per clip.")
    for column in clips.columns.intersection(["clip_id", "group"]):
        _refuse_blank(path, clips, column)
    if "split" in clips:
        _refuse_unknown_split(path, clips)
    if not allows_repeats:
        refuse_duplicates([clips], [path])
    return clips


def number_clips(num_clips: int) -> pd.DataFrame:
    """Return the table of clips that nobody named: each is `row-000000`, its own group."""
    ids = [f"row-{row:06d}" for row in range(num_clips)]
    return pd.DataFrame({"clip_id": ids, "group": ids}, dtype=str)


def refuse_duplicates(tables: Sequence[pd.DataFrame], paths: Sequence[Path]) -> None:
    """Refuse clip ids that occur twice within or between tables.

    Raises:
        FeatureSetError: Naming the files and the rows of the first id that repeats.
    """
    ids = np.concatenate([table["clip_id"].to_numpy(dtype=object) for table in tables])
    repeated = pd.Series(ids).duplicated().to_numpy()
    if not repeated.any():
        return
    clip_id = ids[int(repeated.argmax())]
    rows = np.flatnonzero(ids == clip_id)[:2]
    starts = np.cumsum([0, *(len(table) for table in tables)])
    owners = np.searchsorted(starts, rows, side="right") - 1
    first, second = (
        f"row {row - starts[owner]} of {paths[owner]}"
        for row, owner in zip(rows, owners, strict=True)
    )
    raise FeatureSetError(
        f"{paths[owners[1]]}: clip {clip_id!r} occurs twice, in {first} and {second} (names that "
        f"look alike are one name). Keep one of them, with its rows of the arrays."
    )


def _refuse_blank(path: Path, clips: pd.DataFrame, column: str) -> None:
    blank = (clips[column] == "").to_numpy()
    if blank.any():
        raise FeatureSetError(
            f"{path}: row {blank.argmax()} has a blank {column}. "
            f"Fill it in, or drop the clip and its rows of the arrays."
        )


def _refuse_unknown_split(path: Path, clips: pd.DataFrame) -> None:
    unknown = ~clips["split"].isin(SPLIT_NAMES).to_numpy()
    if unknown.any():
        row = int(unknown.argmax())
        raise FeatureSetError(
            f"{path}: row {row} (clip {clips['clip_id'][row]}) has split "
            f"{clips['split'][row]!r}, expected {', '.join(SPLIT_NAMES)}. "
            f"Rename it, or drop the column to have the clips split by group."
        )
