"""Read CSV tables as text, and check the table of clips.

Rows are counted from 0: row 0 is the first line below the header.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from pipeline.core.errors import FeatureSetError, PipelineError
from pipeline.core.identifiers import normalize_identifier
from pipeline.core.near_names import did_you_mean, did_you_mean_path

SPLIT_NAMES: Final = ("train", "validation", "test")
"""Valid values of a `split` column."""

_IDENTIFIER_COLUMNS: Final = ("clip_id", "group", "split")
"""Columns whose cells are normalized, because they are compared with cells of other tables."""

_OTHER_SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def read_csv_table(
    path: Path,
    *,
    columns: Sequence[str],
    error: type[PipelineError],
    other_names: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Read a comma-separated UTF-8 table with cells of type str.

    `pandas.read_csv` would convert ids such as `001` or `NA`, and would accept lines of the
    wrong length. Column names and ids are normalized; other cells are unchanged. `columns` lists
    the required columns. `other_names` maps column names of other formats to the standard names.

    Raises:
        PipelineError: If the file is missing or is not CSV in UTF-8, a line has the wrong length,
            a column occurs twice, or a required column is missing. The error class is `error`.
    """
    rows = _read_rows(path, error)
    if not rows:
        raise error(f"{path}: is empty. Write a header line with {', '.join(columns)}.")
    first_line = rows.pop(0)
    found = [normalize_identifier(name) for name in first_line]
    header = [(other_names or {}).get(name, name) for name in found]
    for separator, words in _OTHER_SEPARATORS.items():
        num_found = sum(field.count(separator) for field in first_line)
        if num_found >= len(first_line) and not set(columns) <= set(header):
            raise error(
                f"{path}: is separated by {words}, but must be separated by commas. "
                f"Save it as CSV with commas, and with points in numbers (0.5)."
            )
    for index, row in enumerate(rows):
        if len(row) != len(header):
            raise error(
                f"{path}: row {index} has {len(row)} fields, but the header has {len(header)}. "
                f"Put quotes around fields that contain commas."
            )
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise error(f"{path}: has the column {twice!r} twice. Rename or drop one of the columns.")
    check_columns(path, header, columns, error)
    table = pd.DataFrame(rows, columns=header, dtype=str)
    for name in table.columns.intersection(list(_IDENTIFIER_COLUMNS)):
        table[name] = table[name].map(normalize_identifier)
    return table


def check_columns(
    path: Path, found: Sequence[str], columns: Sequence[str], error: type[PipelineError]
) -> None:
    """Check that a table has all `columns`.

    Raises:
        PipelineError: If a column is missing. The error class is `error`.
    """
    missing = [name for name in columns if name not in found]
    if missing:
        raise error(
            f"{path}: has no column {' or '.join(missing)}; found {', '.join(found)}."
            f"{did_you_mean(missing[0], found)} Name the columns in the first line of the file, "
            f"separated by commas."
        )


def read_clips(
    path: Path, *, needs_group: bool = True, allows_repeats: bool = False
) -> pd.DataFrame:
    """Read and check a table of clips, one row per clip, with cells of type str.

    The table has the columns `clip_id` and `group` (the source video or the person). It may also
    have the column `split` and other columns.

    Raises:
        FeatureSetError: If a column is missing, the table is empty, a clip occurs twice, an id
            or group is blank, or a split name is unknown.
    """
    columns = ("clip_id", "group") if needs_group else ("clip_id",)
    clips = read_csv_table(path, columns=columns, error=FeatureSetError)
    if clips.empty:
        raise FeatureSetError(f"{path}: has no clips. Write one line per clip.")
    for column in clips.columns.intersection(["clip_id", "group"]):
        blank = (clips[column] == "").to_numpy()
        if blank.any():
            raise FeatureSetError(
                f"{path}: row {blank.argmax()} has a blank {column}. "
                f"Fill it in, or drop the clip and its rows in the arrays."
            )
    if "split" in clips and not clips["split"].isin(SPLIT_NAMES).all():
        row = int((~clips["split"].isin(SPLIT_NAMES)).to_numpy().argmax())
        raise FeatureSetError(
            f"{path}: row {row} (clip {clips['clip_id'][row]}) has split "
            f"{clips['split'][row]!r}, but a split must be {' or '.join(SPLIT_NAMES)}. "
            f"Rename it, or drop the column to split the clips by group."
        )
    if not allows_repeats:
        check_unique_clips([clips], [path])
    return clips


def number_clips(num_clips: int) -> pd.DataFrame:
    """Return a table of clips with ids `row-000000`, ...; each clip is its own group."""
    ids = [f"row-{row:06d}" for row in range(num_clips)]
    return pd.DataFrame({"clip_id": ids, "group": ids}, dtype=str)


def check_unique_clips(tables: Sequence[pd.DataFrame], paths: Sequence[Path]) -> None:
    """Check that no clip id occurs twice, in one table or in two tables.

    Raises:
        FeatureSetError: If an id occurs twice.
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
        f"{paths[owners[1]]}: clip {clip_id!r} occurs twice, in {first} and {second}. Ids "
        "that differ only in invisible characters are equal. Keep one row of the clip in the table "
        "and in the arrays."
    )


def _read_rows(path: Path, error: type[PipelineError]) -> list[list[str]]:
    try:
        # Spreadsheet programs begin a file with a byte order mark. "utf-8-sig" removes it.
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [row for row in csv.reader(file, strict=True) if row]
    except FileNotFoundError:
        near = did_you_mean_path(path)
        raise error(f"{path}: there is no such file. Give the path of a CSV table.{near}") from None
    except UnicodeDecodeError as reason:
        raise error(f"{path}: is not UTF-8 text ({reason.reason}). Save it as UTF-8.") from reason
    except (OSError, csv.Error) as reason:
        raise error(f"{path}: cannot be read as CSV ({reason}). Save it again.") from reason
