"""Build a feature set from files of other tools, annotations and groups, joined by clip id.

Legend: N clips of the streams, T steps, D features.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd
import rich.progress

from pipeline.core.arrays import BoolArray, IntArray
from pipeline.core.errors import AnnotationError, ConfigError, FeatureSetError
from pipeline.core.files import file_hash, write_text
from pipeline.core.traits import TraitLabel, traits_entry
from pipeline.data.array_file import open_array
from pipeline.data.clip_names import ClipMatch, match_clips, unmatched_table
from pipeline.data.clip_table import read_clips
from pipeline.data.groups import Groups
from pipeline.data.join import JoinedLabels, find_groups, join_labels
from pipeline.data.readers.label_table import Labels
from pipeline.data.readers.stream_source import StreamArrays, StreamSource
from pipeline.data.shard import Shard, ShardPaths, open_shard
from pipeline.data.writer import StreamValues, check_empty, write_feature_set

MissingStreams: TypeAlias = Literal["error", "drop", "mask"]
"""How to treat clips that lack a stream: stop, omit the clip, or mask all steps of the stream."""

UNMATCHED_NAME: Final = "unmatched.csv"
_COPIED_METADATA: Final = ("encoder", "settings")
"""Entries of an existing `features.json` that are copied to the new set."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedSummary:
    """Result of `prepare_feature_set`."""

    num_clips: int
    """Number of clips in the feature set."""
    groups: Groups
    """Group of each clip in the feature set."""
    streams: Mapping[str, StreamArrays]
    """Arrays of each stream, before clips were dropped."""
    num_dropped: int
    """Number of clips that were dropped, because they lack annotations or a stream."""
    num_unmatched: int
    """Number of rows in `unmatched.csv`."""
    traits: tuple[TraitLabel, ...]
    """Name, direction and range of each trait; empty without labels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _ClipList:
    """The clips of the feature set, and how they were found."""

    table: pd.DataFrame
    """`clip_id` and other columns of the clip table, one row per clip."""
    paths: tuple[str, ...]
    """Path of each clip below the directory of all clips."""
    sources: Mapping[str, tuple[StreamSource, IntArray]]
    """Name of each stream -> its source, and the row of each clip in the source, -1 if none."""
    unmatched: pd.DataFrame
    """Clips that are in only some of the files."""


def prepare_feature_set(
    sources: Sequence[StreamSource],
    features_dir: Path,
    *,
    labels: Labels | None = None,
    annotations: Sequence[Path] = (),
    clips: Path | None = None,
    groups: str = "",
    missing_streams: MissingStreams = "error",
    allow_unlabelled: bool = False,
    progress: rich.progress.Progress | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> PreparedSummary:
    """Write a feature set from the files of each stream, joined with annotations by clip id.

    Args:
        sources: Files of each stream, from `open_stream`.
        features_dir: New or empty directory for the feature set. It also gets `unmatched.csv`, the
            clips that are in only some of the files, with the nearest other name.
        labels: Annotated scores; None for a set without labels.
        annotations: Files of `labels`; their hashes are recorded.
        clips: CSV table with `clip_id`. It selects and orders the clips. A stream without clip ids
            has its rows in the order of this table. Without a table, the clips are those of the
            streams.
        groups: Value of `--groups`: a table, or a rule for `assign_groups`. Empty: a column
            `group` of `clips` or of the annotations, or the default rule.
        missing_streams: How to treat clips that lack a stream.
        allow_unlabelled: If True, drop clips without annotation; if False, raise an error.
        progress: Display of the progress.
        report: Function that gets one line of text per step, for the user.

    Raises:
        AnnotationError: If clips have no annotation and `allow_unlabelled` is False.
        ConfigError: If a clip has no group.
        FeatureSetError: If the files have a wrong format, or clips lack a stream.
    """
    check_empty(features_dir, ignored=(UNMATCHED_NAME,))
    _check_names(sources)
    found = _list_clips(sources, clips)
    table = found.table
    clip_ids = table["clip_id"].tolist()
    joined = None if labels is None else join_labels(labels, clip_ids)
    unmatched = [found.unmatched]
    if joined is not None:
        unmatched.append(unmatched_table(joined.match, origins=("streams", "annotations")))
    rows = pd.concat(unmatched, ignore_index=True)
    _write_unmatched(features_dir, rows)
    _describe_clips(found, joined, report)
    is_kept = _complete_clips(found, missing_streams, features_dir)
    if joined is not None:
        is_kept &= _labelled_clips(joined, clip_ids, allow_unlabelled, features_dir)
    table = _with_splits(table, joined)
    assigned = _assign(found, table, joined, groups, clips, is_kept)
    report(assigned.description)
    kept: IntArray = np.flatnonzero(is_kept)
    table = table.drop(columns="group", errors="ignore")
    table.insert(1, "group", "")
    table.loc[kept, "group"] = list(assigned.names)
    arrays, kept = _read_streams(found, kept, missing_streams, progress, features_dir, report)
    shard = _shard_of_arrays(found)
    (features_dir / UNMATCHED_NAME).unlink(missing_ok=True)
    write_feature_set(
        features_dir,
        streams={
            name: StreamValues(
                values=each.values,
                mask=None if each.mask is None or each.mask.all() else each.mask,
                seconds=each.seconds if shard is None else _seconds(shard, name, each),
            )
            for name, each in arrays.items()
        },
        labels=None if joined is None else joined.scores,
        clips=table,
        metadata={
            **_metadata(found, arrays, shard),
            **traits_entry(labels.traits if labels is not None else ()),
            "annotations": {path.name: file_hash(path) for path in annotations},
        },
        rows=kept,
    )
    _write_unmatched(features_dir, rows)
    names = table["group"].to_numpy()[kept].tolist()
    return PreparedSummary(
        num_clips=len(kept),
        groups=dataclasses.replace(assigned, names=tuple(names)),
        streams=arrays,
        num_dropped=len(table) - len(kept),
        num_unmatched=len(rows),
        traits=labels.traits if labels is not None else (),
    )


def _check_names(sources: Sequence[StreamSource]) -> None:
    names = [source.name for source in sources]
    if not names:
        raise ConfigError("No stream is given. Give at least one with --stream NAME=PATH.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"--stream {twice}=...: the stream is given twice. Rename one of them.")


def _list_clips(sources: Sequence[StreamSource], clips: Path | None) -> _ClipList:
    without_ids = [source for source in sources if source.clip_ids is None]
    with_ids = [source for source in sources if source.clip_ids is not None]
    if clips is not None:
        table = read_clips(clips, needs_group=False)
        clip_ids, origin = table["clip_id"].tolist(), str(clips)
    elif without_ids:
        source = without_ids[0]
        raise ConfigError(
            f"{source.path}: contains no clip ids. Give --clips FILE.csv with the column clip_id, "
            "in the order of the rows."
        )
    else:
        clip_ids, origin = list(with_ids[0].clip_ids or ()), f"the stream {with_ids[0].name}"
    rows: dict[str, IntArray] = {}
    unmatched = []
    for source in with_ids:
        known = list(source.clip_ids or ())
        origins = (origin, f"the stream {source.name}")
        match = match_clips(clip_ids, known, origins=origins)
        unmatched.append(unmatched_table(match, origins=origins))
        _check_some_match(match, clip_ids, source, origin)
        rows[source.name] = match.rows
        if clips is None and match.unused:  # a clip that only later streams have
            position = {clip: row for row, clip in enumerate(known)}
            clip_ids += match.unused
            added = np.array([position[clip] for clip in match.unused])
            rows[source.name] = np.concatenate([match.rows, added])
    table = table if clips is not None else pd.DataFrame({"clip_id": clip_ids}, dtype=str)
    for source in without_ids:
        rows[source.name] = np.arange(_check_num_rows(source, table, clips))
    padded = {
        name: np.concatenate([each, np.full(len(clip_ids) - len(each), -1, dtype=np.intp)])
        for name, each in rows.items()
    }
    by_name = {source.name: source for source in sources}
    unused = [
        (str(path), f"the stream {source.name}", "") for source in sources for path in source.unused
    ]
    unmatched.append(pd.DataFrame(unused, columns=["clip_id", "found_in", "nearest"], dtype=str))
    return _ClipList(
        table=table,
        paths=_paths(clip_ids, with_ids, padded),
        sources={name: (by_name[name], padded[name]) for name in by_name},
        unmatched=pd.concat(unmatched, ignore_index=True),
    )


def _check_some_match(
    match: ClipMatch, clip_ids: Sequence[str], source: StreamSource, origin: str
) -> None:
    if len(match.missing) == len(clip_ids):
        raise FeatureSetError(
            f"{source.path}: none of its {len(source.clips)} clips is in {origin}. For example: "
            f"{match.nearest}. Files and clip ids need the same names; folders and suffixes may "
            "differ."
        )


def _check_num_rows(source: StreamSource, table: pd.DataFrame, clips: Path | None) -> int:
    num_rows = len(source.clips) or len(open_array(source.path))
    if num_rows != len(table):
        raise FeatureSetError(
            f"{source.path}: has {num_rows} rows, but {clips} has {len(table)} clips. The rows "
            "must be in the order of the table."
        )
    return num_rows


def _paths(
    clip_ids: Sequence[str], sources: Sequence[StreamSource], rows: Mapping[str, IntArray]
) -> tuple[str, ...]:
    """Return the path of each clip; the folder is that of the first stream with a folder."""
    paths = list(clip_ids)
    for row, clip_id in enumerate(clip_ids):
        for source in sources:
            position = rows[source.name][row]
            folder = (source.clip_folders or ())[position] if position >= 0 else ""
            if folder and "/" not in clip_id:
                paths[row] = f"{folder}/{clip_id}"
                break
    return tuple(paths)


def _describe_clips(
    found: _ClipList, joined: JoinedLabels | None, report: Callable[[str], None]
) -> None:
    num_clips = len(found.table)
    for name, (source, rows) in found.sources.items():
        text = f"{name}: {source.path}, {source.description}: {int((rows >= 0).sum())} of "
        text += f"{num_clips} clips"
        left_over = len(source.clips) - int((rows >= 0).sum())
        text += f"; {left_over} other clips are not used" if left_over > 0 else ""
        text += f"; {len(source.unused)} other files are not read" if source.unused else ""
        report(f"{text}.")
    if joined is not None:
        report(
            f"annotations: {int(joined.is_labelled.sum())} of {num_clips} clips; "
            f"{len(joined.match.unused)} annotated clips have no features."
        )


def _complete_clips(found: _ClipList, missing: MissingStreams, features_dir: Path) -> BoolArray:
    is_missing = {name: rows < 0 for name, (_, rows) in found.sources.items()}
    if missing == "error":
        for name, rows in is_missing.items():
            if rows.any():
                clip_id = found.table["clip_id"][int(rows.argmax())]
                raise _missing_error(
                    name, int(rows.sum()), len(rows), clip_id, f"; see {_unmatched(features_dir)}"
                )
    if missing == "drop":
        return np.asarray(~np.any(list(is_missing.values()), axis=0))
    return np.ones(len(found.table), dtype=np.bool_)


def _missing_error(
    name: str, num_missing: int, num_clips: int, clip_id: str, where: str
) -> FeatureSetError:
    return FeatureSetError(
        f"{num_missing} of {num_clips} clips have no stream {name}. The first is {clip_id!r}"
        f"{where}. Add the files, or omit these clips (--missing_streams drop), or keep them "
        "without this stream (--missing_streams mask)."
    )


def _labelled_clips(
    joined: JoinedLabels, clip_ids: Sequence[str], allow_unlabelled: bool, features_dir: Path
) -> BoolArray:
    num_missing = len(joined.match.missing)
    if num_missing == len(clip_ids) or (num_missing and not allow_unlabelled):
        fix = "Check that the annotations use the same ids"
        if num_missing < len(clip_ids):
            fix += "; add the annotations of these clips, or drop them (--allow_unlabelled true)"
        raise AnnotationError(
            f"{num_missing} of {len(clip_ids)} clips have no annotation. The first is "
            f"{joined.match.nearest}; see {_unmatched(features_dir)}. {fix}."
        )
    return joined.is_labelled


def _with_splits(table: pd.DataFrame, joined: JoinedLabels | None) -> pd.DataFrame:
    if joined is None or joined.splits is None or "split" in table:
        return table
    return table.assign(split=list(joined.splits))


def _assign(
    found: _ClipList,
    table: pd.DataFrame,
    joined: JoinedLabels | None,
    rule: str,
    clips: Path | None,
    is_kept: BoolArray,
) -> Groups:
    given, origin = None, ""
    if "group" in table:
        given, origin = table["group"].tolist(), str(clips)
    elif joined is not None and joined.groups is not None:
        given, origin = list(joined.groups), "the annotations"
    return find_groups(
        list(itertools.compress(table["clip_id"], is_kept)),
        list(itertools.compress(found.paths, is_kept)),
        rule,
        given=None if given is None else list(itertools.compress(given, is_kept)),
        origin=origin,
    )


def _read_streams(
    found: _ClipList,
    kept: IntArray,
    missing: MissingStreams,
    progress: rich.progress.Progress | None,
    features_dir: Path,
    report: Callable[[str], None],
) -> tuple[dict[str, StreamArrays], IntArray]:
    """Read all streams, and return the rows of the clips with enough valid streams."""
    parent = features_dir.resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    arrays = {}
    lacks = []
    for name, (source, rows) in found.sources.items():
        if source.clip_ids is None:
            each = source.read_all(progress=progress, scratch_dir=parent)
        else:
            # Clips that are dropped are not read. Their rows are empty.
            known = source.clip_ids
            ids: list[str | None] = [None] * len(rows)
            for row in kept.tolist():
                ids[row] = known[rows[row]] if rows[row] >= 0 else None
            each = source.read_all(ids, progress, scratch_dir=parent)
        arrays[name] = each
        is_empty: BoolArray = np.zeros(len(rows), dtype=np.bool_)
        if each.mask is not None:
            is_empty = np.asarray(~each.mask.reshape(len(rows), -1).any(axis=1))
        lacks.append(is_empty)
        num_empty = int(is_empty[kept].sum())
        if each.columns:
            report(
                f"{name}: {len(each.columns)} columns, {each.num_frames} frames read, "
                f"{each.num_masked} masked, {num_empty} clips without a valid frame."
            )
        if num_empty and missing == "error":
            clip_id = found.table["clip_id"][int(kept[is_empty[kept]][0])]
            where = ", which has no valid frame"
            raise _missing_error(name, num_empty, len(kept), clip_id, where)
    is_dropped = np.any(lacks, axis=0) if missing == "drop" else np.all(lacks, axis=0)
    kept = kept[~is_dropped[kept]]
    if not len(kept):
        raise FeatureSetError("No clip has valid frames in the streams, so nothing was written.")
    return arrays, kept


def _shard_of_arrays(found: _ClipList) -> Shard | None:
    """Open the streams that are one array, with the files beside them; None if there are none."""
    paths = {name: each.path for name, (each, _) in found.sources.items() if not each.clips}
    return open_shard(ShardPaths.of_files(paths), needs_group=False) if paths else None


def _seconds(shard: Shard, name: str, arrays: StreamArrays) -> Any:
    return shard.seconds[name].values if name in shard.seconds else arrays.seconds


def _metadata(
    found: _ClipList, arrays: Mapping[str, StreamArrays], shard: Shard | None
) -> dict[str, Any]:
    described = {
        name: {
            "path": source.path.name,
            "format": source.description,
            "columns": list(arrays[name].columns),
            "num_frames": arrays[name].num_frames,
            "num_masked": arrays[name].num_masked,
            "empty_clips": list(arrays[name].empty_clips),
        }
        for name, (source, _) in found.sources.items()
    }
    encoder = {
        name: {
            "format": source.description,
            "columns": list(arrays[name].columns),
            "resample": source.how,
        }
        for name, (source, _) in found.sources.items()
    }
    metadata: dict[str, Any] = {"sources": described}
    if all(each.columns for each in arrays.values()):
        metadata["encoder"] = encoder
    if shard is not None and len(shard.streams) == len(arrays):
        known = shard.metadata
        metadata |= {name: known[name] for name in _COPIED_METADATA if name in known}
    return metadata


def _unmatched(features_dir: Path) -> Path:
    return features_dir / UNMATCHED_NAME


def _write_unmatched(features_dir: Path, rows: pd.DataFrame) -> None:
    """Write the clips without a counterpart. The file of an earlier call is replaced."""
    path = _unmatched(features_dir)
    if rows.empty:
        path.unlink(missing_ok=True)
        return
    features_dir.mkdir(parents=True, exist_ok=True)
    write_text(path, rows.to_csv(index=False, lineterminator="\n"))
