"""Read the 52 blendshape scores of MediaPipe's face landmarker, a row per frame.

MediaPipe has no file format of its own. A table needs the blendshape names as columns; an empty
row is a frame without a face. In JSON lines, a frame may contain the list of categories as
MediaPipe returns it (see `table_file`).
"""

import fnmatch
from collections.abc import Sequence
from typing import Final

from pipeline.data.frames import ClipTable, Format, Frames

_PATTERNS: Final = tuple(
    f"{part}[A-Z]*" for part in ("brow", "cheek", "eye", "jaw", "mouth", "nose")
)
_MIN_NAMES: Final = 40
"""Minimum number of names; older versions lack a few of the 52."""


def _matches(columns: Sequence[str]) -> bool:
    names = (name for name in columns for each in _PATTERNS if fnmatch.fnmatchcase(name, each))
    return len(set(names)) >= _MIN_NAMES


def _read(table: ClipTable) -> Frames:
    return table.frames()


BLENDSHAPES: Final = Format(
    name="blendshapes",
    description="MediaPipe blendshapes",
    default_columns=("_neutral", *_PATTERNS),
    matches=_matches,
    read=_read,
)
