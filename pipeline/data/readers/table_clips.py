"""Read the clips of tables: a table per clip, or one table for all clips.

Legend: N clips, F frames, D values per frame.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.errors import FeatureSetError
from pipeline.core.identifiers import normalize_identifier
from pipeline.core.traits import TRAITS
from pipeline.data.readers.formats import choose_columns, find_format
from pipeline.data.readers.frames import TIME_COLUMNS, ClipTable, Format, Frames
from pipeline.data.readers.table_file import (
    ID_COLUMNS,
    CellType,
    TableFile,
    find_id_column,
    open_table,
)

_NO_FEATURES: Final = frozenset(
    {"", "unnamed: 0", "index", "__index_level_0__", "group", "split", "subset", "interview"}
    | {*TRAITS, *ID_COLUMNS, *TIME_COLUMNS}
)
"""Columns that only their full name selects, in lower case: row numbers, ids, times and labels."""

_AUDIO_SUFFIXES: Final = (".aac", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav", ".wma")


@dataclass(frozen=True, kw_only=True)
class TableChoice:
    """Format and columns of all tables of a stream, chosen from the first one."""

    first: Path
    """The first table."""
    format: Format
    """Format of the tables."""
    columns: tuple[str, ...]
    """Chosen columns."""
    patterns: tuple[str, ...]
    """Patterns of the columns; empty for the default of the format."""
    text_columns: frozenset[str]
    """Columns of text in the first table; they are no features."""
    id_column: str
    """Name of the column with the clip ids; empty to find it."""

    @classmethod
    def of_table(
        cls, table: TableFile, *, format_name: str, patterns: Sequence[str], id_column: str
    ) -> "TableChoice":
        """Choose the format and the columns of a table.

        Raises:
            FeatureSetError: If the format is unknown, or a pattern matches no column.
        """
        chosen = find_format(table.columns, format_name)
        texts = table.text_columns
        return cls(
            first=table.path,
            format=chosen,
            columns=_choose(table, chosen, patterns, texts, id_column),
            patterns=tuple(patterns),
            text_columns=texts,
            id_column=id_column,
        )

    def read(self, table: TableFile) -> tuple[ClipTable, NDArray[Any] | None]:
        """Read the rows of a table and the clip id of each row; None without an id column.

        Raises:
            FeatureSetError: If the table has no rows, or other columns than the first one.
        """
        if table.path != self.first:
            found = _choose(table, self.format, self.patterns, self.text_columns, self.id_column)
            odd = [name for name in (*self.columns, *found) if (name in found) != (name in self)]
            if odd:
                words = ("lacks", "has") if odd[0] in self else ("has", "lacks")
                raise FeatureSetError(
                    f"{table.path}: {words[0]} the column {odd[0]!r}, which {self.first} "
                    f"{words[1]}. Choose columns of all files with --columns NAME='AU*_r,gaze_*'."
                )
        with _errors_of(table.path):
            id_column = find_id_column(table.columns, self.id_column)
        types = self._cell_types(table, id_column)
        cells = table.read(types)
        values = np.stack([np.asarray(cells[name], np.float32) for name in self.columns], axis=1)
        if not len(values):
            raise FeatureSetError(
                f"{table.path}: has no rows below its header. Remove it, or write it again."
            )
        ids = None if id_column is None else cells[id_column]
        others = {name.lower(): cells[name] for name, kind in types.items() if kind != "float32"}
        return ClipTable(columns=self.columns, values=values, others=others), ids

    def __contains__(self, column: str) -> bool:
        """Return whether a column was chosen."""
        return column in self.columns

    def _cell_types(self, table: TableFile, id_column: str | None) -> dict[str, CellType]:
        types: dict[str, CellType] = {}
        for name in table.columns:
            lower = name.lower()
            is_time = lower in TIME_COLUMNS and name not in table.text_columns
            if lower in self.format.number_columns or is_time:
                types[name] = "float64"
            elif lower in self.format.text_columns or name == id_column:
                types[name] = "text"
        return {**dict.fromkeys(self.columns, "float32"), **types}


class TablePerClip:
    """Tables with one clip each.

    Args:
        files: Clip id -> file.
        folders: Clip id -> folder.
        format_name: Name of the format; empty to detect it from the first table.
        patterns: Shell patterns of the columns; empty for the default of the format.

    Raises:
        FeatureSetError: As `TableChoice.of_table`, for the first table.
    """

    def __init__(
        self,
        files: Mapping[str, Path],
        folders: Mapping[str, str],
        *,
        format_name: str = "",
        patterns: Sequence[str] = (),
        id_column: str = "",
    ) -> None:
        self.folders = folders
        self._files = files
        first = open_table(next(iter(files.values())))
        self._choice = TableChoice.of_table(
            first, format_name=format_name, patterns=patterns, id_column=id_column
        )
        self.description = self._choice.format.description
        # A column such as `name` or `file` may also name the images of the frames.
        name = id_column or find_id_column(first.columns) or ""
        self._has_clip_column = bool(re.match(r"clip|v(ideo|log)", name.lower()) or id_column)

    def place(self, clip_id: str) -> str:
        """Return the file of a clip."""
        return str(self._files[clip_id])

    def num_frames(self, clip_id: str) -> None:
        """Return None, because tables do not know their number of rows."""

    def read(self, clip_id: str) -> Frames:
        """Read one clip.

        Raises:
            FeatureSetError: If the table has no rows, other columns, or rows of several clips.
        """
        path = self._files[clip_id]
        rows, ids = self._choice.read(open_table(path))
        several = [] if ids is None else list(dict.fromkeys(ids))
        if len(several) > 1 and self._has_clip_column:
            raise FeatureSetError(
                f"{path}: has rows of {len(several)} clips, such as {several[0]!r} and "
                f"{several[1]!r}, in a folder with one file per clip. Give this file alone: "
                f"--stream NAME={path}."
            )
        return self._choice.format.read(rows)


class TableOfClips:
    """One table with the rows of all clips. It is read as a whole, with the chosen columns.

    Args:
        path: File of the table.
        format_name: Name of the format; empty to detect it.
        patterns: Shell patterns of the columns; empty for the default of the format.
        id_column: Column with the clip ids; empty to find it by its name.

    Raises:
        FeatureSetError: If there is no id column, or the table cannot be read.
    """

    def __init__(
        self,
        path: Path,
        *,
        format_name: str = "",
        patterns: Sequence[str] = (),
        id_column: str = "",
    ) -> None:
        table = open_table(path)
        self._path = path
        self._choice = TableChoice.of_table(
            table, format_name=format_name, patterns=patterns, id_column=id_column
        )
        self.description = f"{self._choice.format.description}, one file"
        self._table, ids = self._choice.read(table)
        if ids is None:
            raise FeatureSetError(
                f"{path}: has no column with clip ids ({', '.join(ID_COLUMNS)}). Name it with "
                f"--id_column NAME, or give a folder with one file per clip."
            )
        codes, names = pd.factorize(ids)
        self.folders, by_id = _split_names(path, [str(name) for name in names])
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=len(names)))
        self._rows = dict(zip(by_id, np.split(order, ends[:-1]), strict=True))

    def place(self, clip_id: str) -> str:
        """Return the file and the clip."""
        return f"{self._path}: clip {clip_id!r}"

    def num_frames(self, clip_id: str) -> None:
        """Return None, because the number of rows is not the number of frames of a face."""

    def read(self, clip_id: str) -> Frames:
        """Return one clip."""
        return self._choice.format.read(self._table.select(self._rows[clip_id]))


def split_name(name: str) -> tuple[str, str]:
    """Return folder and clip id of a name in a file: without folder, quotes and audio suffix."""
    path = normalize_identifier(name).strip("'\"").replace("\\", "/")
    folder, _, clip_id = path.rpartition("/")
    suffix = Path(clip_id).suffix
    return folder, clip_id.removesuffix(suffix) if suffix.lower() in _AUDIO_SUFFIXES else clip_id


def _split_names(path: Path, names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return clip id -> folder, and the ids; an id keeps its folder if it occurs twice without."""
    parts = [split_name(name) for name in names]
    is_unique = len({clip_id for _, clip_id in parts}) == len(parts)
    ids = [
        clip_id if is_unique or not folder else f"{folder}/{clip_id}" for folder, clip_id in parts
    ]
    if "" in ids:
        raise FeatureSetError(f"{path}: a row has no clip id. Fill it in, or drop the row.")
    clip_id, times = Counter(ids).most_common(1)[0]
    if times > 1:
        same = [name for name, each in zip(names, ids, strict=True) if each == clip_id]
        raise FeatureSetError(
            f"{path}: contains {same[0]!r} and {same[1]!r}, which give the same id {clip_id!r}. "
            f"Rename one of them."
        )
    return dict(zip(ids, (folder for folder, _ in parts), strict=True)), ids


def _choose(
    table: TableFile,
    chosen: Format,
    patterns: Sequence[str],
    text_columns: frozenset[str],
    id_column: str,
) -> tuple[str, ...]:
    hidden = {*_NO_FEATURES, *chosen.number_columns, *chosen.text_columns, id_column.lower()}
    hidden |= {name.lower() for name in text_columns}
    with _errors_of(table.path):
        return choose_columns(
            table.columns,
            patterns or chosen.default_columns,
            hidden=hidden,
            are_optional=not patterns,
        )


@contextlib.contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except FeatureSetError as error:
        raise FeatureSetError(f"{path}: {error}") from error
