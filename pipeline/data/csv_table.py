"""Read CSV tables as text, refusing every line that does not fit the header.

Rows are counted from 0, as NumPy counts them: row 0 is the line below the header.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from pipeline.core.errors import PipelineError
from pipeline.core.identifiers import normalize_identifier
from pipeline.core.near_names import did_you_mean, did_you_mean_path

IDENTIFIER_COLUMNS: Final = ("clip_id", "group", "split")
"""Columns whose cells are names that are compared; `normalize_identifier` is applied to them."""

_OTHER_SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def read_csv_table(
    path: Path,
    *,
    columns: Sequence[str],
    error: type[PipelineError],
    other_names: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Read a comma-separated UTF-8 table whose cells stay text.

    pandas turns ids such as `001` or `NA` into numbers and NaN, and shifts or pads
    lines of the wrong length; a table that names clips must not be guessed at. Column names
    and the cells of `IDENTIFIER_COLUMNS` are normalised, all other cells stay as they are.

    Args:
        path: The file; its first line names the columns. Blank lines are skipped.
        columns: Columns that the table must have, among any others.
        error: Class of the error to raise.
        other_names: Name in the file -> name of the column, for formats that are known.

    Raises:
        PipelineError: An `error`, if the file is missing, is not UTF-8 or not CSV, has
            a line of the wrong length, a column twice, or lacks one of `columns`.
    """
    rows = _read_rows(path, error)
    if not rows:
        raise error(f"{path}: is empty. Expected a header line with {', '.join(columns)}.")
    first_line = rows.pop(0)
    found = [normalize_identifier(name) for name in first_line]
    header = [(other_names or {}).get(name, name) for name in found]
    if not set(columns) <= set(header):
        _check_separator(path, first_line, error)
    for index, row in enumerate(rows):
        if len(row) != len(header):
            raise error(
                f"{path}: row {index} has {len(row)} fields, expected {len(header)} as in the "
                f"header. Quote the fields that hold commas."
            )
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise error(f"{path}: has the column {twice!r} twice. Rename or drop one of them.")
    check_columns(path, header, columns, error)
    table = pd.DataFrame(rows, columns=header, dtype=str)
    for name in table.columns.intersection(list(IDENTIFIER_COLUMNS)):
        table[name] = table[name].map(normalize_identifier)
    return table


def check_columns(
    path: Path, found: Sequence[str], columns: Sequence[str], error: type[PipelineError]
) -> None:
    """Raise `error` if a table lacks one of `columns`; the message names the nearest column.

    Raises:
        PipelineError: An `error`.
    """
    missing = [name for name in columns if name not in found]
    if missing:
        raise error(
            f"{path}: has no column {' or '.join(missing)}; found {', '.join(found)}."
            f"{did_you_mean(missing[0], found)} Name the columns in the first line of the file, "
            f"separated by commas."
        )


def _check_separator(path: Path, fields: Sequence[str], error: type[PipelineError]) -> None:
    for separator, words in _OTHER_SEPARATORS.items():
        if sum(field.count(separator) for field in fields) >= len(fields):
            raise error(
                f"{path}: is separated by {words}, expected commas (and points in numbers: 0.5). "
                f"Save it as CSV with commas."
            )


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
