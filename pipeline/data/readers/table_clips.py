"""Read the clips of tables: a table per clip, or one table for all clips.

Legend: N clips, F frames, D values per frame.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.arrays import IntArray
from pipeline.core.errors import FeatureSetError
from pipeline.core.identifiers import normalize_identifier
from pipeline.core.traits import TRAITS
from pipeline.data.frames import TIME_COLUMNS, ClipFile, ClipTable, Format, Frames
from pipeline.data.readers.formats import choose_columns, find_format
from pipeline.data.readers.table_file import (
    ID_COLUMNS,
    CellType,
    TableFile,
    find_id_column,
    open_table,
)

_NO_FEATURES: Final = frozenset(
    {
        "",
        "unnamed: 0",
        "index",
        "__index_level_0__",
        "group",
        "split",
        "subset",
        "partition",
        "interview",
    }
    | {*TRAITS, *ID_COLUMNS, *TIME_COLUMNS}
    | {name.replace("_", "") for name in ID_COLUMNS}
)
"""Columns that are selected only by their full name: row numbers, ids, times, labels and groups.
The names are in lower case."""

_CLIP_COLUMN: Final = re.compile(r"clip|video|vlog", re.IGNORECASE)
_AUDIO_SUFFIXES: Final = (".aac", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav", ".wma")


@dataclass(frozen=True, kw_only=True)
class TableChoice:
    """Columns to read from the tables of one stream, chosen from the first table."""

    first: TableFile
    """The first table. Its columns of text are no features."""
    format: Format
    """Format of the tables."""
    patterns: Sequence[str]
    """Shell patterns of the columns."""
    id_column: str
    """Name of the column with the clip ids; empty to find it."""

    @classmethod
    def of_table(
        cls, first: TableFile, format_name: str, patterns: Sequence[str], id_column: str
    ) -> "TableChoice":
        """Find the format of a table, and check that it has the columns.

        Raises:
            FeatureSetError: If the format is unknown, or a pattern matches no column.
        """
        chosen = find_format(first.columns, format_name)
        choice = cls(first=first, format=chosen, patterns=patterns, id_column=id_column)
        _ = choice.columns  # raises an error before the first clip is read
        return choice

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The chosen columns."""
        return self._choose(self.first)

    def find_id_column(self, table: TableFile) -> str:
        """Return the column with the clip ids, or "".

        If this table has no column `id_column`, which may belong to other tables, the column is
        found by its name.
        """
        if self.id_column in table.columns:
            return self.id_column
        return find_id_column(table.columns) or ""

    def several_clips(self, table: TableFile, ids: NDArray[Any] | None) -> list[str]:
        """Return the clip ids of the rows of a table, or [] if all rows are of one clip.

        Columns such as `name` or `file` are ignored here, because they may contain the image names
        of the frames.
        """
        if ids is None or not _CLIP_COLUMN.match(self.find_id_column(table)):
            return []
        found = list(dict.fromkeys(ids))
        return found if len(found) > 1 else []

    def read(self, table: TableFile) -> tuple[ClipTable, NDArray[Any] | None]:
        """Read the rows of a table, and the clip id of each row if there is an id column.

        Raises:
            FeatureSetError: If the table has no rows, or other columns than the first table.
        """
        if table.columns != self.first.columns:
            self._check_columns(table)
        id_column = self.find_id_column(table)
        types: dict[str, CellType] = dict.fromkeys(self.columns, "float32")
        for name in table.columns:
            lower = name.lower()
            is_time = lower in TIME_COLUMNS and name not in self.first.text_columns
            if lower in self.format.number_columns or is_time:
                types[name] = "float64"
            elif lower in self.format.text_columns or name == id_column:
                types[name] = "text"
        cells = table.read(types)
        values = np.stack([np.asarray(cells[name], np.float32) for name in self.columns], axis=1)
        if not len(values):
            raise FeatureSetError(
                f"{table.path}: has no rows below its header. Remove it, or write it again."
            )
        others = {name.lower(): cells[name] for name, kind in types.items() if kind != "float32"}
        return ClipTable(columns=self.columns, values=values, others=others), cells.get(id_column)

    def _check_columns(self, table: TableFile) -> None:
        found = self._choose(table)
        odd = next(iter({*self.columns} ^ {*found}), None)
        if odd is not None:
            lacking, having = (table, self.first) if odd in self.columns else (self.first, table)
            raise FeatureSetError(
                f"{table.path}: has other columns than {self.first.path}: {odd!r} is in "
                f"{having.path.name} and not in {lacking.path.name}. Choose columns of all files "
                f"with --columns NAME='AU*_r,gaze_*'."
            )

    def _choose(self, table: TableFile) -> tuple[str, ...]:
        hidden = {*_NO_FEATURES, *self.format.number_columns, *self.format.text_columns}
        hidden |= {name.lower() for name in (*self.first.text_columns, self.id_column)}
        with _errors_of(table.path):
            return choose_columns(
                table.columns,
                self.patterns or self.format.default_columns,
                hidden=hidden,
                are_optional=not self.patterns,
            )


def open_tables(
    files: Mapping[str, tuple[str, Path]],
    *,
    format_name: str = "",
    patterns: Sequence[str] = (),
    id_column: str = "",
) -> tuple[str, dict[str, ClipFile]]:
    """Find out how to read tables with one clip each, or a few tables with many clips each.

    If the first table has a column such as `clip_id` or `video` with several ids, the rows of all
    tables are read into memory, and the names of the files are no clip ids.

    Args:
        files: Clip id -> folder and file.
        format_name: Name of the format; empty to detect it from the first table.
        patterns: Shell patterns of the columns; empty for the default of the format.
        id_column: Column with the clip ids; empty to find it by its name.

    Returns:
        Description of the format, and the clips by id.

    Raises:
        FeatureSetError: If the format is unknown, a pattern matches no column of the first table,
            or two tables contain the same clip.
    """
    paths = [path for _, path in files.values()]
    first = open_table(paths[0])
    choice = TableChoice.of_table(first, format_name, patterns, id_column)
    if choice.several_clips(first, choice.read(first)[1]):
        return f"{choice.format.description}, {len(paths)} files", _clips_of_tables(paths, choice)
    return choice.format.description, {
        clip_id: ClipFile(folder=folder, place=str(path), read=partial(_read_table, path, choice))
        for clip_id, (folder, path) in files.items()
    }


def open_table_of_clips(
    path: Path, *, format_name: str = "", patterns: Sequence[str] = (), id_column: str = ""
) -> tuple[str, dict[str, ClipFile]]:
    """Read the chosen columns of one table with all clips into memory.

    Args:
        path: File of the table.
        format_name: As in `open_tables`.
        patterns: As in `open_tables`.
        id_column: As in `open_tables`.

    Returns:
        Description of the format, and the clips by id, in the order of their first rows.

    Raises:
        FeatureSetError: If there is no id column, or the table cannot be read.
    """
    choice = TableChoice.of_table(open_table(path), format_name, patterns, id_column)
    return f"{choice.format.description}, one file", _clips_of_table(path, choice)


def _clips_of_tables(paths: Iterable[Path], choice: TableChoice) -> dict[str, ClipFile]:
    clips: dict[str, ClipFile] = {}
    for path in paths:
        found = _clips_of_table(path, choice)
        twice = next((clip_id for clip_id in found if clip_id in clips), None)
        if twice is not None:
            raise FeatureSetError(
                f"{found[twice].place}: is also in {clips[twice].place}. Keep one of them."
            )
        clips |= found
    return clips


def _clips_of_table(path: Path, choice: TableChoice) -> dict[str, ClipFile]:
    table, ids = choice.read(open_table(path, like=choice.first))
    if ids is None:
        raise FeatureSetError(
            f"{path}: has no column with clip ids ({', '.join(ID_COLUMNS)}). Name it with "
            f"--id_column NAME, or give a folder with one file per clip."
        )
    codes, names = pd.factorize(ids)
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    rows = np.split(np.argsort(codes, kind="stable"), ends[:-1])
    return {
        clip_id: ClipFile(
            folder=folder,
            place=f"{path}: clip {clip_id!r}",
            read=partial(_read_rows, choice, table, chosen),
        )
        for (clip_id, folder), chosen in zip(split_names(path, names).items(), rows, strict=True)
    }


def split_names(path: Path, names: Iterable[object]) -> dict[str, str]:
    """Return clip id -> folder for the names in a file.

    Quotes, audio suffix and folder are removed from each name. If two ids would be equal, all ids
    keep their folders.

    Raises:
        FeatureSetError: If an id is blank, or two ids are equal even with their folders.
    """
    parts = [_split_name(str(name)) for name in names]
    if len({clip_id for _, clip_id in parts}) < len(parts):
        parts = [(folder, f"{folder}/{clip_id}".lstrip("/")) for folder, clip_id in parts]
    (clip_id, times), *_ = Counter(clip_id for _, clip_id in parts).most_common(1)
    if times > 1:
        raise FeatureSetError(f"{path}: {times} clips have the id {clip_id!r}. Rename all but one.")
    if any(not clip_id for _, clip_id in parts):
        raise FeatureSetError(f"{path}: a clip id is blank. Fill it in, or drop the row.")
    return {clip_id: folder for folder, clip_id in parts}


def _split_name(name: str) -> tuple[str, str]:
    plain = normalize_identifier(name).strip("'\"").replace("\\", "/")
    folder, _, clip_id = plain.rpartition("/")
    suffix = Path(clip_id).suffix
    return folder, clip_id.removesuffix(suffix) if suffix.lower() in _AUDIO_SUFFIXES else clip_id


def _read_table(path: Path, choice: TableChoice) -> Frames:
    table = open_table(path, like=choice.first)
    rows, ids = choice.read(table)
    several = choice.several_clips(table, ids)
    if several:
        raise FeatureSetError(
            f"{path}: has rows of {len(several)} clips, such as {several[0]!r} and {several[1]!r}, "
            f"in a folder with one file per clip. Give this file alone: --stream NAME={path}."
        )
    return choice.format.read(rows)


def _read_rows(choice: TableChoice, table: ClipTable, rows: IntArray) -> Frames:
    return choice.format.read(table.select(rows))


@contextlib.contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except FeatureSetError as error:
        raise FeatureSetError(f"{path}: {error}") from error
