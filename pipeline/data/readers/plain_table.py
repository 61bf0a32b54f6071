"""Read any table of numbers: a row per frame, or a row per clip."""

from collections.abc import Sequence
from typing import Final

from pipeline.data.frames import ClipTable, Format, Frames


def _matches(columns: Sequence[str]) -> bool:
    return bool(columns)


def _read(table: ClipTable) -> Frames:
    return table.frames(is_vector=len(table.values) == 1)


PLAIN_TABLE: Final = Format(
    name="table",
    description="table of numbers",
    default_columns=("*",),
    matches=_matches,
    read=_read,
)
