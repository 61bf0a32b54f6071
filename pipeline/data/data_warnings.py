"""Warnings about features and names that are valid, but probably wrong.

Legend: N clips, T steps, D width, n clips of a chunk.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.arrays import BoolArray, FloatArray, IntArray
from pipeline.core.identifiers import nearly_equal_identifiers
from pipeline.data.stream import Stream
from pipeline.records.data_description import DataWarning

_MIN_SHARE: Final = 0.01
"""Copied features or constant steps give a warning if at least this fraction of the clips has them.

With fewer than 2 such clips, no warning is given."""

_MIN_RELATIVE_RANGE: Final = 1e-5
"""Minimum range of a column in float32, divided by the largest absolute value of the column.

A column with a smaller range gives a warning, unless it is constant in the file."""

_OUTLIER_FACTOR: Final = 1e4
"""Minimum distance of an outlier from the median, in multiples of the 10-90 % range of its column.

If a nonzero range is below the median of all nonzero ranges, this median is used instead."""

_MISSING_VALUES: Final = (-999.0, -9999.0)
"""Numbers that some tools write for a missing value."""

_MAX_SAMPLED_CLIPS: Final = 256
"""Maximum number of clips for the estimate of the 10-90 % range of a column."""

_MIN_SAMPLE: Final = 10
"""Minimum number of valid steps for the estimate of the 10-90 % range of a column."""

_MIN_VALUES: Final = 4
"""Minimum number of distinct values in a clip for a warning about copied features.

Clips with fewer values can be equal by chance."""


def find_data_warnings(streams: Sequence[Stream], clips: pd.DataFrame) -> tuple[DataWarning, ...]:
    """Find signs of damaged features, and names that are probably two spellings of one name.

    Each stream is read in chunks.
    """
    found = [_stream_warnings(stream, clips) for stream in streams]
    return (*_similar_names(clips), *itertools.chain.from_iterable(found))


def _similar_names(clips: pd.DataFrame) -> Iterator[DataWarning]:
    consequences = {
        "group": "If these names mean the same person or video, its clips may be in two subsets "
        "of the split, and the scores are too optimistic.",
        "clip_id": "If these names mean the same clip, it may be used for training and evaluation.",
    }
    names = {column: set(clips[column]) for column in consequences}
    if names["group"] == names["clip_id"]:
        del names["clip_id"]  # each clip is its own group, so one warning is enough
    for column, values in names.items():
        sets = nearly_equal_identifiers(values)
        if sets:
            shown = "; ".join(", ".join(map(repr, similar)) for similar in sorted(sets)[:3])
            yield DataWarning(
                title=f"Some values of {column} are nearly the same",
                detail=f"{shown}{f'; and {len(sets) - 3} more' if len(sets) > 3 else ''}. "
                f"{consequences[column]} Use the same spelling in clips.csv.",
            )


class _StreamScan(NamedTuple):
    """Results of one pass over a stream."""

    low: FloatArray  # smallest valid value of each column, shape (D,)
    high: FloatArray  # largest valid value of each column, shape (D,)
    hashes: IntArray  # hash of the features of each clip, shape (N,)
    is_flat: BoolArray  # True for clips with a step in which all columns are equal, shape (N,)


def _stream_warnings(stream: Stream, clips: pd.DataFrame) -> Iterator[DataWarning]:
    if stream.shape[0] < 2:
        return
    scan = _scan(stream)
    lost = tuple(_lost_in_float32(stream, scan))
    yield from lost
    if np.array_equal(scan.low, scan.high):
        if not lost:
            yield DataWarning(
                title=f"The {stream.name} features are constant",
                detail=f"{stream.parts[0].path}: all clips have the same numbers (column 0 is "
                f"always {scan.low[0]:g}), so nothing can be learned. Extract the features again.",
            )
        return
    yield from _missing_values(stream, scan, clips)
    yield from _outliers(stream, scan, clips)
    yield from _flat_steps(stream, scan, clips)
    yield from _copies(stream, scan, clips)


def _scan(stream: Stream) -> _StreamScan:
    num_clips, width = stream.shape[0], stream.width
    scan = _StreamScan(
        low=np.full(width, np.inf),
        high=np.full(width, -np.inf),
        hashes=np.empty(num_clips, dtype=np.int64),
        is_flat=np.zeros(num_clips, dtype=np.bool_),
    )
    done = 0
    for rows, values in stream.chunks():
        part = slice(done, done + len(rows))
        done += len(rows)
        valid = stream.valid_values(rows, values)
        np.minimum(scan.low, valid.min(axis=0, initial=np.inf), out=scan.low)
        np.maximum(scan.high, valid.max(axis=0, initial=-np.inf), out=scan.high)
        is_sequence_with_mask = stream.has_mask and stream.num_steps is not None
        mask = stream.read_mask(rows) if is_sequence_with_mask else None
        scan.hashes[part] = [
            hash((clip if mask is None else clip[mask[index]]).tobytes())
            for index, clip in enumerate(values)
        ]
        if not stream.has_mask:
            scan.is_flat[part] = _flat(values).any(axis=1)
    return scan


def _flat(values: FloatArray) -> BoolArray:
    """Return True for each step in which all columns are equal, shape (n, T) or (n, 1)."""
    num_clips, num_steps = len(values), values.shape[1] if values.ndim > 2 else 1
    steps = values.reshape(num_clips, num_steps, -1)
    if steps.shape[-1] < 2:
        return np.zeros((num_clips, num_steps), dtype=np.bool_)
    flat: BoolArray = steps[..., 0] == steps[..., -1]  # a fast test that excludes most steps
    flat[flat] = (steps[flat] == steps[flat][:, :1]).all(axis=1)
    return flat


def _missing_values(
    stream: Stream, scan: _StreamScan, clips: pd.DataFrame
) -> Iterator[DataWarning]:
    columns = np.flatnonzero(np.isin(scan.low, _MISSING_VALUES))
    if not columns.size:
        return
    column, value = int(columns[0]), float(scan.low[columns[0]])
    yield DataWarning(
        title=f"The {stream.name} features contain {value:g}",
        detail=f"{_cell(stream, column, lambda cells: cells == value, clips)}; {len(columns)} of "
        f"{stream.width} columns contain it. Some tools write this number for a missing value, "
        f"but here it is used as a measurement. {_mask_fix(stream)}",
    )


def _outliers(stream: Stream, scan: _StreamScan, clips: pd.DataFrame) -> Iterator[DataWarning]:
    num_clips = stream.shape[0]
    spread = np.linspace(0, num_clips - 1, min(num_clips, _MAX_SAMPLED_CLIPS)).astype(np.intp)
    rows, values = next(stream.chunks(spread))  # the first chunk is enough for an estimate
    sample = stream.valid_values(rows, values)
    if len(sample) < _MIN_SAMPLE:
        return
    low, middle, high = np.quantile(sample, (0.1, 0.5, 0.9), axis=0, method="nearest")
    usual = (high - low).astype(np.float64)
    if not (usual > 0).any():
        return
    # Sparse columns have a narrow range. The median range replaces a smaller range.
    limit = _OUTLIER_FACTOR * np.maximum(usual, np.median(usual[usual > 0]))
    distance = np.maximum(scan.high - middle, middle - scan.low)
    is_far = (usual > 0) & (distance > limit) & ~np.isin(scan.low, _MISSING_VALUES)
    if not is_far.any():
        return
    column = int(np.argmax(np.where(is_far, distance / limit, 0)))
    centre, largest = middle[column], limit[column]
    yield DataWarning(
        title=f"A {stream.name} feature is far from all others",
        detail=f"{_cell(stream, column, lambda cells: abs(cells - centre) > largest, clips)}, but "
        f"80 % of the values are between {low[column]:g} and {high[column]:g}; "
        f"{int(is_far.sum())} of {stream.width} columns have such values. After standardization, "
        f"the other values are almost equal, so nothing is learned from the column. Extract the "
        f"clip again, or drop it.",
    )


def _lost_in_float32(stream: Stream, scan: _StreamScan) -> Iterator[DataWarning]:
    size = np.maximum(abs(scan.low), abs(scan.high))
    columns = np.flatnonzero((size > 0) & (scan.high - scan.low < _MIN_RELATIVE_RANGE * size))
    if not columns.size:
        return
    ends = [
        [(column.min(), column.max()) for column in (part.values[..., each] for each in columns)]
        for part in stream.parts
    ]
    lows, highs = np.moveaxis(np.array(ends), -1, 0)  # both have shape (parts, columns)
    low, high = lows.min(axis=0), highs.max(axis=0)
    varies = high > low  # a column that is constant in the file is not damaged
    if not varies.any():
        return
    lost = columns[varies]
    yield DataWarning(
        title=f"Some {stream.name} features are lost in float32",
        detail=f"{stream.parts[0].path}: the values of column {lost[0]} are between "
        f"{float(low[varies][0])!r} and {float(high[varies][0])!r}. Models compute in float32, "
        f"which cannot separate such numbers; this affects {len(lost)} of {stream.width} columns. "
        f"Subtract the offset before you save the array, or drop the column.",
    )


def _flat_steps(stream: Stream, scan: _StreamScan, clips: pd.DataFrame) -> Iterator[DataWarning]:
    rows = np.flatnonzero(scan.is_flat)
    if not _is_many(len(rows), stream):
        return
    values = stream.read(rows[:1])
    step = int(_flat(values)[0].argmax())
    value = float(values.reshape(1, stream.num_steps or 1, -1)[0, step, 0])
    if value in _MISSING_VALUES:  # `_missing_values` already warns about this value
        return
    place = f", step {step}," if stream.num_steps is not None else ""
    yield DataWarning(
        title=f"{len(rows)} clips have constant {stream.name} features in a step",
        detail=f"{_place(stream, int(rows[0]), clips)}{place} has {value:g} in every column. "
        f"If this step is padding or a failed detection, it is still used as a measurement. "
        f"{_mask_fix(stream)}",
    )


def _copies(stream: Stream, scan: _StreamScan, clips: pd.DataFrame) -> Iterator[DataWarning]:
    groups = clips["group"].to_numpy(dtype=np.str_)
    num_groups = pd.Series(groups).groupby(scan.hashes).transform("nunique").to_numpy()
    rows = np.flatnonzero((num_groups > 1) & ~scan.is_flat & ~stream.is_absent)
    if not _is_many(len(rows), stream):
        return
    row = int(rows[0])
    copy = int(np.argmax((scan.hashes == scan.hashes[row]) & (groups != groups[row])))
    if len(np.unique(stream.read(rows[:1]))) < _MIN_VALUES:
        return
    yield DataWarning(
        title=f"{len(rows)} clips have the same {stream.name} features as a clip of another group",
        detail=f"{_place(stream, row, clips)} has the same numbers as "
        f"{_place(stream, copy, clips)}. Either features were written to the wrong rows, or the "
        f"clips are copies and need the same group. Extract the clips again, or drop the copies.",
    )


def _is_many(number: int, stream: Stream) -> bool:
    return number >= max(2, _MIN_SHARE * stream.shape[0])


def _mask_fix(stream: Stream) -> str:
    if stream.num_steps is None:
        return "Extract these clips again, or drop them."
    name = f"{stream.parts[0].path.stem}_mask.npy"
    return f"Set these steps to False in {name}, or extract the clips again."


def _cell(
    stream: Stream, column: int, test: Callable[[FloatArray], BoolArray], clips: pd.DataFrame
) -> str:
    """Describe the first cell of `column` that passes `test` in a valid step."""
    for rows, values in stream.chunks():
        cells = values[..., column]
        hits: NDArray[np.bool_] = test(cells)
        if stream.has_mask:
            mask = stream.read_mask(rows) if stream.num_steps else stream.read_mask(rows)[:, 0]
            hits = hits & mask.reshape(mask.shape + (1,) * (hits.ndim - mask.ndim))
        if hits.any():
            index = tuple(int(axis) for axis in np.argwhere(hits)[0])
            step = f" in step {index[1]}," if len(index) > 1 else " in"
            place = _place(stream, int(rows[index[0]]), clips)
            return f"{place} has {cells[index]:g}{step} column {column}"
    raise AssertionError("no cell passes the test, but the scan found one")


def _place(stream: Stream, row: int, clips: pd.DataFrame) -> str:
    part, part_row = stream.locate(row)
    return f"{part.path}: row {part_row} (clip {clips['clip_id'].iloc[row]})"
