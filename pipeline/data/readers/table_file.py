"""Read tables of any common file type: delimited text, Parquet, Excel and JSON lines.

Separator, decimal comma, quotes and a byte order mark are detected from the first lines. Lines are
counted from 1, with the header, as an editor shows them.
"""

import csv
import importlib.util
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from pipeline.core.errors import FeatureSetError, one_line
from pipeline.core.installation import install_command
from pipeline.core.near_names import did_you_mean_path

TABLE_SUFFIXES: Final = (".csv", ".tsv", ".parquet", ".xlsx", ".jsonl", ".txt")
"""File types of tables; `.txt` comes last because it is often something else."""

ID_COLUMNS: Final = (
    *("clip_id", "clip", "clip_name", "id", "video_id", "video", "video_name", "filename"),
    *("file_name", "file", "name_video", "vlog_id", "sample_id", "sample", "utterance_id"),
    *("utterance", "name", "key"),
)
"""Names of columns with clip ids, in lower case and in the order of preference."""

CellType: TypeAlias = Literal["float32", "float64", "text"]

_SEPARATORS: Final = ("\t", ";", ",", "|", " ")
_SAMPLE_LINES: Final = 8
_BLOCK_BYTES: Final = 4 * 2**20
_ARROW_TYPES: Final = {"float32": pa.float32(), "float64": pa.float64(), "text": pa.string()}
_MISSING: Final = ("", "nan", "NaN", "NAN", "-nan", "-nan(ind)", "NA", "N/A", "None", "null")
_DECIMAL_COMMA: Final = re.compile(r"\s*[-+]?\d+,\d+([eE][-+]?\d+)?\s*")
_ARROW_CELL: Final = re.compile(r"In CSV column #(\d+): Row #(\d+): .*invalid value '(.*)'", re.S)


@dataclass(frozen=True, kw_only=True, eq=False)
class TableFile:
    """An opened table; the cells of delimited text and Parquet stay on disk."""

    path: Path
    """File of the table."""
    columns: tuple[str, ...]
    """Names without leading and trailing blanks, in the order of the file."""
    text_columns: frozenset[str]
    """Columns that are not numeric, according to the first lines or the schema of the file."""
    separator: str = ""
    """Separator of delimited text."""
    decimal: str = "."
    """Decimal mark of delimited text."""
    num_header_lines: int = 0
    """Lines before the first row of delimited text."""
    encoding: str = "utf-8"
    """Encoding of delimited text."""
    header: bytes = b""
    """First line of delimited text, if it is the header."""
    cells: pd.DataFrame | None = None
    """Cells of file types that are read as a whole."""

    def read(self, types: Mapping[str, CellType]) -> dict[str, NDArray[Any]]:
        """Read some columns, each of shape (F,). Missing numbers are NaN.

        Raises:
            FeatureSetError: If a column occurs twice, or a cell is not a number. The message then
                contains the line and the column of the cell.
        """
        self.check_unique(types)
        if self.path.suffix.lower() == ".parquet":
            table = _read_parquet(self.path, self.columns, list(types))
            return {name: self._convert(name, table[name], types[name]) for name in types}
        if self.cells is not None or self.separator == " ":
            cells = _read_rows(self.path, self) if self.cells is None else self.cells
            return {name: self._convert(name, cells[name], types[name]) for name in types}
        return self._read_delimited(types)

    def check_unique(self, names: Iterable[str]) -> None:
        """Check that no column of these names occurs twice.

        Raises:
            FeatureSetError: If a column occurs twice.
        """
        twice = next((name for name in names if self.columns.count(name) > 1), None)
        if twice is not None:
            raise FeatureSetError(f"{self.path}: has the column {twice!r} twice. Rename one.")

    def _read_delimited(self, types: Mapping[str, CellType]) -> dict[str, NDArray[Any]]:
        # Columns are selected by their number, because names may be blank or occur twice.
        wanted = {str(self.columns.index(name)): _ARROW_TYPES[kind] for name, kind in types.items()}
        try:
            table = pyarrow.csv.read_csv(
                self.path,
                # Several files are read in parallel. With one thread per file, pyarrow counts the
                # lines, so that errors contain line numbers.
                read_options=pyarrow.csv.ReadOptions(
                    use_threads=False,
                    block_size=_BLOCK_BYTES,
                    skip_rows=self.num_header_lines,
                    column_names=_numbers_as_names(len(self.columns)),
                    encoding=self.encoding,
                ),
                parse_options=pyarrow.csv.ParseOptions(delimiter=self.separator),
                convert_options=pyarrow.csv.ConvertOptions(
                    include_columns=list(wanted),
                    column_types=wanted,
                    null_values=_MISSING,
                    decimal_point=self.decimal,
                ),
            )
        except (pa.ArrowInvalid, OSError) as error:
            raise self._error(error) from error
        trim = pa.compute.utf8_trim_whitespace
        return {
            name: np.asarray(trim(column) if types[name] == "text" else column)
            for name, column in zip(types, table.columns, strict=True)
        }

    def _convert(self, name: str, column: "pd.Series[Any]", kind: CellType) -> NDArray[Any]:
        if kind == "text":
            return np.asarray(_as_text(column).str.strip(), dtype=object)
        if not pd.api.types.is_numeric_dtype(column):
            texts = _as_text(column).str.strip()
            is_missing = texts.isin(_MISSING)
            points = texts.str.replace(self.decimal, ".", regex=False)
            column = pd.to_numeric(points.mask(is_missing), errors="coerce")
            wrong = (column.isna() & ~is_missing).to_numpy()
            if wrong.any():
                row = int(wrong.argmax())
                raise self._cell_error(row + self.num_header_lines + 1, name, texts.iloc[row])
        return np.asarray(column.to_numpy(dtype=kind, na_value=np.nan))

    def _error(self, error: Exception) -> FeatureSetError:
        cell = _ARROW_CELL.search(str(error))
        if cell is not None:
            return self._cell_error(int(cell[2]), self.columns[int(cell[1])], cell[3])
        reason = one_line(error)[:200].replace("Row #", "line ")
        return FeatureSetError(f"{self.path}: cannot be read as a table ({reason}). Save it again.")

    def _cell_error(self, line: int, column: str, value: str) -> FeatureSetError:
        return FeatureSetError(
            f"{self.path}: line {line} has {column} {value[:60]!r}, expected a number. Correct "
            f"it, or choose other columns with --columns NAME='AU*_r,gaze_*'."
        )


def open_table(path: Path, like: TableFile | None = None) -> TableFile:
    """Find the columns of a table and how to read it.

    Args:
        path: File of the table.
        like: Another opened table. If it is separated by commas and both files have the same header
            line, its columns and format are reused.

    Raises:
        FeatureSetError: If the file is missing, has an unknown type or cannot be read, or a
            package is missing.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            schema = pyarrow.parquet.read_schema(path)
            numeric = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean)
            fields = {field.name.strip(): field.type for field in schema}
            texts = (name for name, kind in fields.items() if not any(is_(kind) for is_ in numeric))
            columns = tuple(name.strip() for name in schema.names)
            return TableFile(path=path, columns=columns, text_columns=frozenset(texts))
        if suffix in (".xlsx", ".jsonl"):
            cells = _read_excel(path) if suffix == ".xlsx" else _read_json_lines(path)
            columns = tuple(str(name).strip() for name in cells.columns)
            if not columns:
                raise FeatureSetError(f"{path}: is empty. Expected names and numbers.")
            cells.columns = pd.Index(columns)
            sample = cells.head(_SAMPLE_LINES)
            texts = (name for name in columns if not _are_numbers(_as_text(sample[name])))
            header = int(suffix == ".xlsx")
            return TableFile(
                path=path,
                columns=columns,
                text_columns=frozenset(texts),
                num_header_lines=header,
                cells=cells,
            )
        if suffix not in TABLE_SUFFIXES:
            raise FeatureSetError(f"{path}: is not a table ({', '.join(TABLE_SUFFIXES)}).")
        if like is not None and like.separator == "," and _first_line(path) == like.header:
            return replace(like, path=path)
        return _open_delimited(path)
    except FileNotFoundError:
        raise FeatureSetError(f"{path}: there is no such file.{did_you_mean_path(path)}") from None
    except UnicodeDecodeError as error:
        raise FeatureSetError(f"{path}: is not UTF-8 text. Save it as UTF-8.") from error
    except (OSError, csv.Error, pa.ArrowException) as error:
        reason = one_line(error)[:200]
        raise FeatureSetError(f"{path}: cannot be read ({reason}). Save it again.") from error


def read_text_table(path: Path) -> pd.DataFrame:
    """Read a whole table with cells of type str; missing cells are "".

    Raises:
        FeatureSetError: As `open_table`, or if a line has the wrong number of fields, or a column
            occurs twice.
    """
    table = open_table(path)
    table.check_unique(table.columns)
    if path.suffix.lower() == ".parquet":
        cells = _read_parquet(path, table.columns, list(table.columns))
    else:
        cells = _read_rows(path, table) if table.cells is None else table.cells
    return pd.DataFrame({name: _as_text(cells[name]) for name in table.columns}, dtype=str)


def find_id_column(columns: Sequence[str]) -> str | None:
    """Return the column with a usual name of clip ids, or None."""
    by_name = {letters_of(name): name for name in reversed(columns)}
    return next((by_name[name] for name in map(letters_of, ID_COLUMNS) if name in by_name), None)


def letters_of(name: str) -> str:
    """Return the letters and digits of a column name in lower case, to compare names."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _open_delimited(path: Path) -> TableFile:
    encoding = _encoding(path)
    with path.open(encoding=encoding, newline="") as file:
        lines = list(islice(file, _SAMPLE_LINES))
    filled = [line for line in lines if line.strip()]
    if not filled:
        raise FeatureSetError(f"{path}: is empty. Expected a header line and numbers.")
    separator = _find_separator(filled)
    reader = _split(lines, separator)
    first = next(row for row in reader if any(row))
    num_header_lines = reader.line_num
    rows = [row for row in reader if len(row) == len(first)]
    columns = tuple(name.strip() for name in first)
    cells = [cell for row in rows for cell in row]
    has_comma = separator != "," and any(map(_DECIMAL_COMMA.fullmatch, cells))
    decimal = "," if has_comma else "."
    # `numpy.savetxt` writes no header; `pandas` writes the numbers 0, 1, … as names.
    numbers = _numbers_as_names(len(columns))
    if columns != numbers and _are_numbers(columns, decimal):
        columns, num_header_lines = numbers, num_header_lines - 1
    text_columns = (
        name
        for name, sample in zip(columns, zip(*rows, strict=True), strict=False)
        if not _are_numbers(sample, decimal)
    )
    return TableFile(
        path=path,
        columns=columns,
        text_columns=frozenset(text_columns),
        separator=separator,
        decimal=decimal,
        num_header_lines=num_header_lines,
        encoding=encoding,
        header=_first_line(path) if num_header_lines == 1 else b"",
    )


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline()


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(3)
    is_utf16 = start[:2] in (b"\xff\xfe", b"\xfe\xff")
    return "utf-16" if is_utf16 else "utf-8-sig" if start == b"\xef\xbb\xbf" else "utf-8"


def _find_separator(lines: Sequence[str]) -> str:
    """Return the separator that splits all lines into the same number of fields.

    If there are several such separators, return the one with the most fields.
    """
    counts = {
        separator: [len(row) for row in _split(lines, separator) if row]
        for separator in _SEPARATORS
        if separator in lines[0].strip()
    }
    equal = [separator for separator, each in counts.items() if len(set(each)) == 1]
    return max(equal or counts, key=lambda separator: counts[separator][0], default=",")


def _split(lines: Iterable[str], separator: str) -> Any:
    if separator == " ":
        stripped = (re.sub(r"\s+", " ", line).strip() for line in lines)
        return csv.reader(stripped, delimiter=" ")
    return csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)


def _read_rows(path: Path, table: TableFile) -> pd.DataFrame:
    try:
        with path.open(encoding=table.encoding, newline="") as file:
            list(islice(file, table.num_header_lines))
            rows = [row for row in _split(file, table.separator) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FeatureSetError(f"{path}: cannot be read ({one_line(error)}).") from error
    for number, row in enumerate(rows, start=table.num_header_lines + 1):
        if len(row) != len(table.columns):
            raise FeatureSetError(
                f"{path}: line {number} has {len(row)} fields, expected {len(table.columns)} as "
                f"in the header. Put quotes around fields that contain the separator."
            )
    return pd.DataFrame(rows, columns=list(table.columns), dtype=str)


def _read_parquet(path: Path, columns: Sequence[str], wanted: Sequence[str]) -> pd.DataFrame:
    try:
        names = pyarrow.parquet.read_schema(path).names
        chosen = [names[columns.index(name)] for name in wanted]
        cells = pyarrow.parquet.read_table(path, columns=chosen, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise FeatureSetError(f"{path}: cannot be read ({one_line(error)[:200]}).") from error
    return pd.DataFrame(
        {name: cells[old].to_pandas() for name, old in zip(wanted, chosen, strict=True)}
    )


def _read_excel(path: Path) -> pd.DataFrame:
    if importlib.util.find_spec("openpyxl") is None:
        raise FeatureSetError(
            f"{path}: Excel files need the package openpyxl: {install_command('excel')}. Or save "
            f"the table as CSV."
        )
    try:
        return pd.read_excel(path, dtype=str, engine="openpyxl", keep_default_na=False)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file makes the zip and XML readers raise any error
        reason = one_line(error)[:200]
        raise FeatureSetError(f"{path}: cannot be read as Excel ({reason}).") from error


def _read_json_lines(path: Path) -> pd.DataFrame:
    records = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            if not isinstance(record, dict):
                raise FeatureSetError(
                    f"{path}: line {number} is not a JSON object. Write one object per line."
                )
            records.append(_flatten(record))
    return pd.DataFrame(records)


def _flatten(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return name -> value without nested objects. MediaPipe categories become name -> score."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        faces = value
        while isinstance(faces, list) and faces and isinstance(faces[0], list):
            faces = faces[0]  # the first face
        if isinstance(faces, dict):
            flat.update(_flatten(faces))
        elif isinstance(faces, list):
            for number, item in enumerate(faces):
                is_category = isinstance(item, dict) and "score" in item
                label = item.get("category_name", item.get("categoryName")) if is_category else None
                flat[label or f"{name}_{number}"] = item["score"] if is_category else item
        else:
            flat[name] = value
    return flat


def _as_text(column: "pd.Series[Any]") -> "pd.Series[Any]":
    return column.astype(object).where(column.notna(), "").astype(str)


def _are_numbers(cells: Iterable[str], decimal: str = ".") -> bool:
    try:
        for cell in cells:
            if cell.strip() not in _MISSING:
                float(cell.replace(decimal, "."))
    except ValueError:
        return False
    return True


def _numbers_as_names(number: int) -> tuple[str, ...]:
    return tuple(map(str, range(number)))
