"""Read CSV tables as text, refusing every line that does not fit the header.

Rows are counted from 0, as NumPy counts them: row 0 is the line below the header.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline.core.errors import PipelineError
from pipeline.core.near_names import did_you_mean_path


def read_csv_table(
    path: Path, *, columns: Sequence[str], error: type[PipelineError]
) -> pd.DataFrame:
    """Read a comma-separated UTF-8 table whose cells stay the text they are.

    pandas turns ids such as `001` or `NA` into numbers and NaN, and shifts or pads
    lines of the wrong length; a table that names clips must not be guessed at.

    Args:
        path: The file; its first line names the columns. Blank lines are skipped.
        columns: Columns that the table must have, among any others.
        error: Class of the error to raise.

    Raises:
        PipelineError: An `error`, if the file is missing, is not UTF-8 or not CSV, has
            a line of the wrong length, a column twice, or lacks one of `columns`.
    """
    rows = _read_rows(path, error)
    if not rows:
        raise error(f"{path}: is empty. Expected a header line with {', '.join(columns)}.")
    header = rows.pop(0)
    for index, row in enumerate(rows):
        if len(row) != len(header):
            raise error(
                f"{path}: row {index} has {len(row)} fields, expected {len(header)} as in the "
                f"header. Quote the fields that hold commas."
            )
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise error(f"{path}: has the column {twice!r} twice. Rename or drop one of them.")
    missing = [name for name in columns if name not in header]
    if missing:
        raise error(
            f"{path}: has no column {' or '.join(missing)}; found {', '.join(header)}. "
            f"Add it to the first line of the file, separated by commas."
        )
    return pd.DataFrame(rows, columns=header, dtype=str)


def _read_rows(path: Path, error: type[PipelineError]) -> list[list[str]]:
    try:
        # Spreadsheets put a byte order mark in front; "utf-8-sig" drops it.
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [row for row in csv.reader(file, strict=True) if row]
    except FileNotFoundError:
        near = did_you_mean_path(path)
        raise error(f"{path}: there is no such file. Give the path of a CSV table.{near}") from None
    except UnicodeDecodeError as reason:
        raise error(f"{path}: is not UTF-8 text ({reason.reason}). Save it as UTF-8.") from reason
    except (OSError, csv.Error) as reason:
        raise error(f"{path}: cannot be read as CSV ({reason}). Save it again.") from reason
