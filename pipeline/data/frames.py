"""Frames of one clip, and the rules to read the tables of one tool.

Legend: F frames, D values per frame.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.core.arrays import BoolArray, FloatArray, IntArray

_SECONDS_COLUMNS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("seconds", "second", "sec", "time", "timestamp", "frametime"), 1.0),
    **dict.fromkeys(("time_s", "time_sec", "t"), 1.0),
    **dict.fromkeys(("milliseconds", "ms", "time_ms", "timestamp_ms", "timestampms"), 1e-3),
}
"""Names of time columns in lower case, and their unit in seconds."""

_NUMBER_COLUMNS: Final = ("frame", "frame_number", "frame_id", "frame_index", "frame_idx")
"""Names of columns with the number of the frame, in lower case."""

TIME_COLUMNS: Final = frozenset({*_SECONDS_COLUMNS, *_NUMBER_COLUMNS})
"""Names of all columns that place a frame in time, in lower case."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """One clip as a tool wrote it."""

    values: FloatArray
    """Shape (F, D), float32; NaN where missing."""
    is_valid: BoolArray
    """Whether the tool found its subject in each frame, shape (F,). NaN is checked later."""
    seconds: FloatArray | None = None
    """Time of each frame in seconds, shape (F,); None if unknown."""
    frame_numbers: FloatArray | None = None
    """Number of each frame in the video, shape (F,); None if frames have equal distances."""
    columns: tuple[str, ...] = ()
    """Names of the D values; empty if the file has no names."""
    is_vector: bool = False
    """Whether this is one vector per clip; then F = 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipFile:
    """The place of one clip, and how to read it. Several threads may read clips of one file."""

    folder: str
    """Folder of the clip, relative to that of the stream; "" if none."""
    place: str
    """File, and the row or array in a file with several clips, for error messages."""
    read: Callable[[], Frames]
    """Read the clip."""
    num_frames: Callable[[], int] | None = None
    """Return F without reading the clip, 0 for a vector; None if this is not possible."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipTable:
    """Rows of one clip in a table, in the order of the file."""

    columns: tuple[str, ...]
    """Names of the chosen columns."""
    values: FloatArray
    """Chosen columns, shape (F, D), float32; NaN where missing."""
    others: Mapping[str, NDArray[Any]]
    """Other columns by their name in lower case, shape (F,): float64, or text."""

    def select(self, rows: IntArray | BoolArray) -> "ClipTable":
        """Return a table of these rows."""
        others = {name: column[rows] for name, column in self.others.items()}
        return replace(self, values=self.values[rows], others=others)

    def frames(self, is_valid: BoolArray | None = None, *, is_vector: bool = False) -> Frames:
        """Return the rows as frames, with the times of the time columns."""
        seconds = (
            self.others[name] * unit
            for name, unit in _SECONDS_COLUMNS.items()
            if name in self.others
        )
        return Frames(
            values=self.values,
            is_valid=np.ones(len(self.values), dtype=np.bool_) if is_valid is None else is_valid,
            seconds=next(seconds, None),
            frame_numbers=next(
                (self.others[name] for name in _NUMBER_COLUMNS if name in self.others), None
            ),
            columns=self.columns,
            is_vector=is_vector,
        )


@dataclass(frozen=True, kw_only=True)
class Format:
    """Rules to read the tables of one tool."""

    name: str
    """Value of `--format`."""
    description: str
    """Name of the tool, for the user."""
    default_columns: tuple[str, ...]
    """Shell patterns of the columns that are read by default; some may match nothing."""
    number_columns: tuple[str, ...] = ()
    """Other columns that `read` needs, if the file has them; in lower case."""
    text_columns: tuple[str, ...] = ()
    """Other columns of text that `read` needs, if the file has them; in lower case."""
    matches: Callable[[Sequence[str]], bool]
    """Return whether a table with these columns was written by the tool."""
    read: Callable[[ClipTable], Frames]
    """Convert the rows of one clip to frames."""
