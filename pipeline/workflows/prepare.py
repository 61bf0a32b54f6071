"""Build a feature set: join files of other tools, annotations and groups by clip id.

Legend: N clips of the streams, T steps, D features.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd
import rich.progress

from pipeline.core.arrays import BoolArray, IntArray
from pipeline.core.errors import AnnotationError, ConfigError, FeatureSetError
from pipeline.core.files import file_hash
from pipeline.core.stream_names import stream_name_fault
from pipeline.core.traits import TraitLabel, traits_entry
from pipeline.data.clip_names import UNMATCHED_NAME, unmatched_table, write_unmatched
from pipeline.data.groups import Groups
from pipeline.data.join import JoinedLabels, find_groups, join_labels
from pipeline.data.readers.label_table import Labels
from pipeline.data.readers.stream_source import StreamArrays, StreamSource, open_stream
from pipeline.data.shard import Shard, ShardPaths, open_shard
from pipeline.data.stream_clips import StreamClips, list_stream_clips
from pipeline.data.time_steps import ResampleMethod
from pipeline.data.writer import StreamValues, check_empty, write_feature_set

MissingStreams: TypeAlias = Literal["error", "drop", "mask"]
"""How to treat clips that lack a stream: stop, omit the clip, or mask all steps of the stream."""

_COPIED_METADATA: Final = ("encoder", "settings")
"""Entries of an existing `features.json` that are copied to the new set."""


@dataclass(frozen=True, kw_only=True)
class PreparedSummary:
    """Result of `prepare_feature_set`."""

    num_clips: int
    """Number of clips in the feature set."""
    groups: Groups
    """Group of each clip in the feature set."""
    streams: tuple[str, ...]
    """Names of the streams."""
    num_dropped: int
    """Number of clips that were dropped, because they lack annotations or a stream."""
    num_unmatched: int
    """Number of rows in `unmatched.csv`."""
    traits: tuple[TraitLabel, ...]
    """Name, direction and range of each trait; empty without labels."""


def open_streams(
    streams: Mapping[str, Path],
    *,
    formats: Mapping[str, str],
    columns: Mapping[str, Sequence[str]],
    num_steps: int | None,
    resample: ResampleMethod,
    id_column: str,
) -> list[StreamSource]:
    """Find the clips of each stream. See `open_stream` for the arguments.

    `streams`, `formats` and `columns` contain one entry per stream name.

    Raises:
        ConfigError: If a format or columns are given for an unknown stream.
        FeatureSetError: If a stream has no clips, or an unknown format.
    """
    for option, given in (("format", formats), ("columns", columns)):
        unknown = next((name for name in given if name not in streams), None)
        if unknown is not None:
            raise ConfigError(
                f"--{option} {unknown}=...: there is no stream {unknown}. The streams are "
                f"{', '.join(streams) or 'missing: give --stream NAME=PATH'}."
            )
    return [
        open_stream(
            name,
            path,
            formats.get(name, ""),
            columns.get(name, ()),
            num_steps,
            resample,
            id_column=id_column if path.is_file() else "",
        )
        for name, path in streams.items()
    ]


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
        features_dir: New or empty directory for the feature set. The table `unmatched.csv` is also
            written there, even if the join fails. It contains the clips that are in only some of
            the files, with the nearest other name.
        labels: Annotated scores; None for a set without labels.
        annotations: Files from which `labels` were read; their hashes are recorded.
        clips: CSV table with `clip_id`. It selects and orders the clips. A stream without clip ids
            has its rows in the order of this table. Without a table, the clips are those of the
            streams.
        groups: Value of `--groups`: a table, or a rule for `assign_groups`. If empty, a column
            `group` of `clips` or of the annotations is used; without this column, the default rule.
        missing_streams: How to treat clips that lack a stream.
        allow_unlabelled: If True, drop clips without annotation; if False, raise an error.
        progress: Display of the progress.
        report: Function that gets one line of text per step, for the user.

    Raises:
        AnnotationError: If clips have no annotation and `allow_unlabelled` is False.
        ConfigError: If a name of a stream is not valid, or a clip has no group.
        FeatureSetError: If the files have a wrong format, or clips lack a stream.
    """
    path = features_dir / UNMATCHED_NAME
    check_empty(features_dir, ignored=(path.name,))
    _check_names(sources)
    found = list_stream_clips(sources, clips)
    joined = None if labels is None else join_labels(labels, found.clip_ids)
    origin = ", ".join(map(str, annotations)) or "the annotations"
    unmatched = found.unmatched
    if joined is not None:
        others = unmatched_table(joined.match, origins=(found.origin, origin))
        unmatched = pd.concat([unmatched, others], ignore_index=True)
    write_unmatched(path, unmatched)
    _describe_clips(found, joined, report)
    is_kept = _complete_clips(found, missing_streams, path)
    if joined is not None:
        is_kept &= _labelled_clips(joined, origin, allow_unlabelled, path)
    kept: IntArray = np.flatnonzero(is_kept)
    if not len(kept):
        raise FeatureSetError(
            f"No clip has all of {', '.join(found.sources)} and an annotation; see {path}. Check "
            "that the files use the same names, or give --missing_streams mask."
        )
    table = found.table
    if joined is not None and joined.splits is not None and "split" not in table:
        table = table.assign(split=list(joined.splits))
    assigned = _find_groups(found, joined, groups, kept, origin)
    report(assigned.description)
    by_row = dict(zip(kept.tolist(), assigned.names, strict=True))
    arrays, kept = _read_streams(found, kept, missing_streams, progress, path.parent, report)
    names = [by_row[row] for row in kept.tolist()]
    table = table.drop(columns="group", errors="ignore")
    table.insert(1, "group", "")
    table.loc[kept, "group"] = names
    shard = _shard_of_arrays(found)
    path.unlink(missing_ok=True)  # `write_feature_set` needs an empty directory
    try:
        write_feature_set(
            features_dir,
            streams={
                name: StreamValues(
                    values=each.values,
                    mask=None if each.mask is None or each.mask[kept].all() else each.mask,
                    seconds=each.seconds
                    if shard is None or name not in shard.seconds
                    else shard.seconds[name].values,
                )
                for name, each in arrays.items()
            },
            labels=None if joined is None else joined.scores,
            clips=table,
            metadata={
                **_metadata(found, arrays, shard),
                **traits_entry(labels.traits if labels is not None else ()),
                "annotations": {each.name: file_hash(each) for each in annotations},
            },
            rows=kept,
        )
    finally:
        write_unmatched(path, unmatched)
    return PreparedSummary(
        num_clips=len(kept),
        groups=dataclasses.replace(assigned, names=tuple(names)),
        streams=tuple(arrays),
        num_dropped=len(table) - len(kept),
        num_unmatched=len(unmatched),
        traits=labels.traits if labels is not None else (),
    )


def _check_names(sources: Sequence[StreamSource]) -> None:
    names = [source.name for source in sources]
    if not names:
        raise ConfigError("No stream is given. Give at least one with --stream NAME=PATH.")
    for number, name in enumerate(names):
        fault = stream_name_fault(name) or ("is given twice" if name in names[:number] else "")
        if fault:
            raise ConfigError(f"--stream {name}=...: the name of a stream {fault}. Rename it.")


def _describe_clips(
    found: StreamClips, joined: JoinedLabels | None, report: Callable[[str], None]
) -> None:
    num_clips = len(found.table)
    for name, source in found.sources.items():
        num_found = int((found.rows[name] >= 0).sum())
        text = f"{name}: {source.path}, {source.description}: {num_found} of {num_clips} clips"
        left_over = len(source.clips) - num_found
        text += f"; other clips not used: {left_over}" if left_over > 0 else ""
        unread = Counter(path.suffix for path in source.unused)
        text += "; other files not read: " if unread else ""
        text += ", ".join(f"{number} {suffix}" for suffix, number in unread.most_common())
        report(f"{text}.")
    if joined is not None:
        report(
            f"annotations: {int(joined.is_labelled.sum())} of {num_clips} clips; "
            f"{len(joined.match.unused)} annotated clips have no features."
        )


def _complete_clips(found: StreamClips, missing: MissingStreams, unmatched: Path) -> BoolArray:
    for name, match in found.foreign.items():
        raise FeatureSetError(
            f"{found.sources[name].path}: has no clip of {found.origin}. The first is "
            f"{match.nearest}; see {unmatched}. Files and clip ids need the same names; folders "
            "and suffixes may differ."
        )
    is_missing = {name: rows < 0 for name, rows in found.rows.items()}
    if missing == "error":
        for name, rows in is_missing.items():
            if rows.any():
                raise _missing_error(found, name, rows, f"; see {unmatched}")
    if missing == "drop":
        return np.asarray(~np.any(list(is_missing.values()), axis=0))
    return np.ones(len(found.table), dtype=np.bool_)


def _missing_error(
    found: StreamClips, name: str, is_missing: BoolArray, where: str
) -> FeatureSetError:
    return FeatureSetError(
        f"{found.sources[name].path}: {int(is_missing.sum())} of {len(is_missing)} clips have no "
        f"stream {name}. The first is {found.clip_ids[int(is_missing.argmax())]!r}{where}. Add "
        "the files, or omit these clips (--missing_streams drop), or keep them without this "
        "stream (--missing_streams mask)."
    )


def _labelled_clips(
    joined: JoinedLabels, origin: str, allow_unlabelled: bool, unmatched: Path
) -> BoolArray:
    num_clips, num_missing = len(joined.match.rows), len(joined.match.missing)
    if num_missing == num_clips or (num_missing and not allow_unlabelled):
        fix = "Check that the annotations use the same ids (column --id_column)"
        if num_missing < num_clips:
            fix += ", add the annotations of these clips, or drop them (--allow_unlabelled true)"
        raise AnnotationError(
            f"{origin}: {num_missing} of {num_clips} clips have no annotation. The first is "
            f"{joined.match.nearest}; see {unmatched}. {fix}."
        )
    return joined.is_labelled


def _find_groups(
    found: StreamClips, joined: JoinedLabels | None, rule: str, kept: IntArray, origin: str
) -> Groups:
    given = None
    if "group" in found.table:
        given, origin = found.table["group"].tolist(), found.origin
    elif joined is not None and joined.groups is not None:
        given = list(joined.groups)
    rows = kept.tolist()
    return find_groups(
        [found.clip_ids[row] for row in rows],
        [found.paths[row] for row in rows],
        rule,
        given=None if given is None else [given[row] for row in rows],
        origin=origin,
    )


def _read_streams(
    found: StreamClips,
    kept: IntArray,
    missing: MissingStreams,
    progress: rich.progress.Progress | None,
    features_dir: Path,
    report: Callable[[str], None],
) -> tuple[dict[str, StreamArrays], IntArray]:
    """Read all streams. Return their arrays, and the rows of the clips with enough valid streams.

    If `missing` is `drop`, a clip needs a valid step in each stream; otherwise, in one stream.
    """
    scratch_dir = features_dir.resolve().parent
    scratch_dir.mkdir(parents=True, exist_ok=True)
    arrays = {}
    lacks = []
    for name, source in found.sources.items():
        ids = None
        if source.clip_ids is not None:
            # Dropped clips are not read. Their rows in the arrays have no valid step.
            ids = [None] * len(found.table)
            for row in kept[found.rows[name][kept] >= 0]:
                ids[row] = source.clip_ids[found.rows[name][row]]
        each = source.read_all(ids, progress, scratch_dir=scratch_dir)
        arrays[name] = each
        mask = np.ones((len(found.table), 1)) if each.mask is None else each.mask
        is_empty = np.asarray(~mask.reshape(len(mask), -1).any(axis=1))
        lacks.append(is_empty)
        num_empty = int(is_empty[kept].sum())
        if source.clips:
            shape = " x ".join(map(str, each.values.shape[1:]))
            report(
                f"{name}: {shape} values per clip; {each.num_frames} frames read, "
                f"{each.num_masked} masked, {num_empty} clips without a valid frame."
            )
        if num_empty and missing == "error":
            is_empty[np.setdiff1d(np.arange(len(is_empty)), kept)] = False
            raise _missing_error(found, name, is_empty, ", which has no valid frame")
    is_dropped = np.any(lacks, axis=0) if missing == "drop" else np.all(lacks, axis=0)
    kept = kept[~is_dropped[kept]]
    if not len(kept):
        raise FeatureSetError(
            f"No clip has valid frames in {', '.join(arrays)}. Give --missing_streams mask, or "
            "choose other columns (--columns)."
        )
    return arrays, kept


def _shard_of_arrays(found: StreamClips) -> Shard | None:
    """Open the streams that are one unchanged array, with the masks and other files beside it.

    Return None if there is no such stream.
    """
    paths = {name: each.path for name, each in found.sources.items() if not each.clips}
    return open_shard(ShardPaths.of_files(paths), needs_group=False) if paths else None


def _metadata(
    found: StreamClips, arrays: Mapping[str, StreamArrays], shard: Shard | None
) -> dict[str, Any]:
    encoder = {
        name: {
            "format": source.description,
            "columns": list(arrays[name].columns),
            "resample": source.how,
        }
        for name, source in found.sources.items()
    }
    described = {
        name: {
            "path": source.path.name,
            "format": source.description,
            "columns": list(arrays[name].columns),
            "num_frames": arrays[name].num_frames,
            "num_masked": arrays[name].num_masked,
            "empty_clips": list(arrays[name].empty_clips),
        }
        for name, source in found.sources.items()
    }
    metadata: dict[str, Any] = {"sources": described}
    if all(each.columns for each in arrays.values()):
        metadata["encoder"] = encoder
    if shard is not None and len(shard.streams) == len(arrays):
        known = shard.metadata
        metadata |= {name: known[name] for name in _COPIED_METADATA if name in known}
    return metadata
