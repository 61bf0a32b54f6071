"""The registry of table formats, and the choice of columns.

To add a format, write one module with a `Format` and add one line to `FORMATS`.
"""

import fnmatch
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from pipeline.core.errors import FeatureSetError
from pipeline.core.near_names import did_you_mean
from pipeline.data.frames import Format
from pipeline.data.readers.blendshapes import BLENDSHAPES
from pipeline.data.readers.openface import OPENFACE
from pipeline.data.readers.opensmile import OPENSMILE
from pipeline.data.readers.plain_table import PLAIN_TABLE
from pipeline.data.readers.pyfeat import PYFEAT

FORMATS: Final[tuple[Format, ...]] = (
    OPENFACE,
    PYFEAT,  # before blendshapes, because its tables also contain them
    OPENSMILE,
    BLENDSHAPES,
    PLAIN_TABLE,  # matches everything
)
"""Formats of tables in the order of their detection."""


def find_format(columns: Sequence[str], name: str = "") -> Format:
    """Return the format called `name`, or the first format that matches the columns.

    Raises:
        FeatureSetError: If there is no such format.
    """
    if not name:
        return next(each for each in FORMATS if each.matches(columns))
    names = [each.name for each in FORMATS]
    if name not in names:
        raise FeatureSetError(
            f"there is no format {name!r}; give --format NAME=FORMAT with one of "
            f"{', '.join(names)}.{did_you_mean(name, names)}"
        )
    return FORMATS[names.index(name)]


def choose_columns(
    columns: Sequence[str],
    patterns: Iterable[str],
    *,
    hidden: Collection[str] = (),
    are_optional: bool = False,
) -> tuple[str, ...]:
    """Return the columns that match any of the shell patterns, in the order of `columns`.

    Case is ignored only if a pattern matches no column otherwise. Therefore `x_*` does not choose
    `X_0` if there is a column `x_0`.

    Args:
        columns: Names without leading and trailing blanks.
        patterns: Patterns such as `AU*_r`.
        hidden: Names in lower case that only a pattern without wildcards selects.
        are_optional: Whether a pattern may match nothing.

    Raises:
        FeatureSetError: If a pattern matches nothing, or no column is chosen.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        is_name = not set("*?[") & set(pattern)
        names = [each for each in columns if is_name or each.lower() not in hidden]
        found = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
        lower = pattern.lower()
        found = found or [name for name in names if fnmatch.fnmatchcase(name.lower(), lower)]
        if not found and not are_optional:
            raise FeatureSetError(
                f"has no column {pattern!r}.{did_you_mean(pattern, names)} Correct --columns "
                f"NAME='…'; found {_shortened(names)}."
            )
        chosen.update(found)
    if not chosen:
        raise FeatureSetError(
            f"has none of the columns {', '.join(patterns)}; found {_shortened(columns)}. Choose "
            f"with --columns NAME='AU*_r,gaze_*', or the format with --format NAME=FORMAT."
        )
    return tuple(name for name in columns if name in chosen)


def _shortened(names: Sequence[str]) -> str:
    rest = [f"and {len(names) - 12} more"] if len(names) > 12 else []
    return ", ".join([*names[:12], *rest]) or "no column"
