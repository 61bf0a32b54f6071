"""Match the clips of two files by name, with or without folder and suffix."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from pipeline.core.arrays import IntArray
from pipeline.core.errors import FeatureSetError
from pipeline.core.files import write_text
from pipeline.core.identifiers import normalize_identifier
from pipeline.core.near_names import nearest_name

UNMATCHED_NAME: Final = "unmatched.csv"
"""File name of the table from `unmatched_table` in the directory of a feature set."""

# fmt: off
VIDEO_SUFFIXES: Final = frozenset({
    ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".m1v", ".m2t", ".m2ts", ".m2v",
    ".m4v", ".mkv", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".ogm", ".ogv", ".qt",
    ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m",
})
_OTHER_SUFFIXES: Final = frozenset({
    ".aac", ".csv", ".flac", ".h5", ".hdf5", ".json", ".jsonl", ".m4a", ".mp3", ".npy", ".npz",
    ".ogg", ".opus", ".parquet", ".tsv", ".txt", ".wav",
})
# fmt: on
_NUM_WITH_NEAREST: Final = 25
"""Maximum number of unmatched clips whose nearest name is searched. Among 6,000 names, a search
takes 0.03 seconds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipMatch:
    """Clips of one file, and their rows in another file."""

    rows: IntArray
    """Row of each wanted clip in the other file, -1 if there is none, shape (N,)."""
    missing: tuple[str, ...]
    """Wanted clips without a row."""
    unused: tuple[str, ...]
    """Clips of the other file that are not wanted."""
    nearest: str
    """The first missing clip and the most similar unused clip, as a clause; empty if no clip is
    missing."""


def clip_stem(clip_id: str) -> str:
    """Return a clip id without its video suffix, which may differ in files and annotations."""
    return _without_suffix(clip_id, VIDEO_SUFFIXES)


def match_clips(
    wanted: Sequence[str], known: Sequence[str], *, origins: tuple[str, str]
) -> ClipMatch:
    """Find each wanted clip among the known clips.

    Suffixes of videos, sound files and feature files are ignored. If a path has no match, its
    last part is compared, provided that this name is unique in both files.

    Args:
        wanted: Clip ids of one file.
        known: Clip ids of the other file.
        origins: Descriptions of both files, for error messages.

    Raises:
        FeatureSetError: If a file contains two ids that name the same clip.
    """
    wanted_keys, known_keys = _keys(wanted, origins[0]), _keys(known, origins[1])
    rows = pd.Index(known_keys).get_indexer(wanted_keys)
    wanted_names, known_names = _unique_names(wanted_keys), _unique_names(known_keys)
    row_of_name = {name: row for row, name in enumerate(known_names) if name}
    taken = set(rows.tolist())
    for position in np.flatnonzero(rows < 0):
        row = row_of_name.get(wanted_names[position], -1)
        if row not in taken:
            rows[position] = row
    missing = tuple(compress(wanted, rows < 0))
    is_unused = np.ones(len(known), dtype=np.bool_)
    is_unused[rows[rows >= 0]] = False
    unused = tuple(compress(known, is_unused))
    nearest = ""
    if missing:
        near = nearest_name(clip_stem(missing[0]), unused)
        fact = f"the most similar name is {near!r}" if near else "no name is similar"
        nearest = f"{missing[0]!r}; {fact}"
    return ClipMatch(rows=rows, missing=missing, unused=unused, nearest=nearest)


def unmatched_table(match: ClipMatch, *, origins: tuple[str, str]) -> pd.DataFrame:
    """Return the clips that are in only one of two files, with the nearest name in the other file.

    The columns are `clip_id`, `found_in` and `nearest`.
    """
    rows = [
        *_unmatched_rows(match.missing, origins[0], match.unused),
        *_unmatched_rows(match.unused, origins[1], match.missing),
    ]
    return pd.DataFrame(rows, columns=["clip_id", "found_in", "nearest"], dtype=str)


def write_unmatched(path: Path, rows: pd.DataFrame) -> None:
    """Write the rows of `unmatched_table`. Without rows, remove the file of an earlier call."""
    if rows.empty:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, rows.to_csv(index=False, lineterminator="\n"))


def describe_unmatched(path: Path, num_rows: int) -> str:
    """Return a line about the rows of `unmatched_table`."""
    return f"{path}: {num_rows} names that are in only some of the files."


def _unmatched_rows(
    clips: Iterable[str], origin: str, others: Sequence[str]
) -> Iterable[tuple[str, str, str]]:
    clips = iter(clips)
    for clip in islice(clips, _NUM_WITH_NEAREST):
        yield clip, origin, nearest_name(clip_stem(clip), others) or ""
    yield from ((clip, origin, "") for clip in clips)


def _keys(clips: Sequence[str], origin: str) -> list[str]:
    first: dict[str, str] = {}
    for clip in clips:
        path = normalize_identifier(clip).replace("\\", "/")
        key = _without_suffix(path, VIDEO_SUFFIXES | _OTHER_SUFFIXES)
        if key in first:
            raise FeatureSetError(
                f"{origin}: contains both {first[key]!r} and {clip!r}, which name the same clip. "
                "Drop or rename one of them."
            )
        first[key] = clip
    return list(first)


def _unique_names(keys: Sequence[str]) -> list[str]:
    names = [key.rpartition("/")[2] for key in keys]
    times = Counter(names)
    return [name if times[name] == 1 else "" for name in names]


def _without_suffix(clip_id: str, suffixes: frozenset[str]) -> str:
    stem, dot, ending = clip_id.rpartition(".")
    return stem if stem and f"{dot}{ending.lower()}" in suffixes else clip_id
