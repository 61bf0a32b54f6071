"""List the clips of several streams, and the place of each clip in each stream.

Legend: N clips.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core.arrays import IntArray
from pipeline.core.errors import ConfigError, FeatureSetError
from pipeline.data.array_file import open_array
from pipeline.data.clip_names import ClipMatch, match_clips, unmatched_table
from pipeline.data.clip_table import read_clips
from pipeline.data.readers.stream_source import StreamSource


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamClips:
    """Clips of a feature set, and the row of each clip in each stream."""

    table: pd.DataFrame
    """`clip_id` and other columns of the clip table, one row per clip."""
    origin: str
    """The clip table or the streams that list the clips, for error messages."""
    paths: tuple[str, ...]
    """Path of each clip below the directory of all clips."""
    sources: Mapping[str, StreamSource]
    """Files of each stream by name."""
    rows: Mapping[str, IntArray]
    """Row of each clip in each stream, -1 if the stream lacks it, shape (N,)."""
    foreign: Mapping[str, ClipMatch]
    """Name of each stream without any clip of `origin` -> match, which has the nearest name."""
    unmatched: pd.DataFrame
    """Clips that are in only some of the files, see `unmatched_table`."""

    @property
    def clip_ids(self) -> list[str]:
        """Id of each clip."""
        return list(self.table["clip_id"])


def list_stream_clips(sources: Sequence[StreamSource], clips: Path | None) -> StreamClips:
    """List the clips of a clip table, or all clips of the streams.

    Args:
        sources: Files of each stream.
        clips: CSV table with `clip_id`. The rows of a stream without clip ids have the order of
            this table.

    Raises:
        ConfigError: If a stream has no clip ids and there is no table.
        FeatureSetError: If the table is not valid, or has another number of rows than a stream
            without clip ids, or two ids name the same clip.
    """
    with_ids = [source for source in sources if source.clip_ids is not None]
    if clips is not None:
        table = read_clips(clips, needs_group=False)
        clip_ids, origin = table["clip_id"].tolist(), str(clips)
    else:
        no_ids = next((source for source in sources if source.clip_ids is None), None)
        if no_ids is not None:
            raise ConfigError(
                f"{no_ids.path}: contains no clip ids. Give --clips FILE.csv with the column "
                "clip_id, in the order of the rows."
            )
        clip_ids, origin = list(with_ids[0].clip_ids or ()), f"the stream {with_ids[0].name}"
    rows: dict[str, IntArray] = {}
    foreign = {}
    unmatched = [pd.DataFrame(columns=["clip_id", "found_in", "nearest"], dtype=str)]
    for source in with_ids:
        known = source.clip_ids or ()
        origins = (origin, f"the stream {source.name}")
        match = match_clips(clip_ids, known, origins=origins)
        unmatched.append(unmatched_table(match, origins=origins))
        if len(match.missing) == len(clip_ids):
            foreign[source.name] = match
        rows[source.name] = match.rows
        if clips is None and rows.keys() != {source.name}:
            added = pd.Index(known).get_indexer(pd.Index(match.unused))
            rows[source.name] = np.concatenate([match.rows, added])
            clip_ids += match.unused
            origin += f" or {source.name}"
    if clips is None:
        table = pd.DataFrame({"clip_id": clip_ids}, dtype=str)
    for source in sources:
        if source.clip_ids is None:
            rows[source.name] = np.arange(_checked_length(source, table, clips))
    padded = {source.name: _padded(rows[source.name], len(clip_ids)) for source in sources}
    return StreamClips(
        table=table,
        origin=origin,
        paths=_paths(clip_ids, with_ids, padded),
        sources={source.name: source for source in sources},
        rows=padded,
        foreign=foreign,
        unmatched=pd.concat(unmatched, ignore_index=True),
    )


def _checked_length(source: StreamSource, table: pd.DataFrame, clips: Path | None) -> int:
    num_rows = len(source.clips) or len(open_array(source.path))
    if num_rows != len(table):
        raise FeatureSetError(
            f"{source.path}: has {num_rows} rows, but {clips} has {len(table)} clips. The rows "
            "must be in the order of the table; correct --clips."
        )
    return num_rows


def _padded(rows: IntArray, num_clips: int) -> IntArray:
    """Append -1 for the clips that only later streams have."""
    return np.concatenate([rows, np.full(num_clips - len(rows), -1, dtype=np.intp)])


def _paths(
    clip_ids: Sequence[str], sources: Sequence[StreamSource], rows: Mapping[str, IntArray]
) -> tuple[str, ...]:
    """Return the path of each clip; the folder comes from the first stream that has a folder."""
    paths = list(clip_ids)
    for source in reversed(sources):
        folders = source.clip_folders or ()
        for row, position in enumerate(rows[source.name].tolist()):
            if position >= 0 and folders[position] and "/" not in clip_ids[row]:
                paths[row] = f"{folders[position]}/{clip_ids[row]}"
    return tuple(paths)
