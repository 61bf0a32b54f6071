"""Signs that features or names of a feature set are ruined although they break no rule.

Legend: N clips, T steps, D width, M valid steps of all clips.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.arrays import BoolArray, FloatArray, IntArray
from pipeline.core.identifiers import nearly_equal_identifiers
from pipeline.data.stream import Stream
from pipeline.records.data_description import DataWarning

MIN_SHARE: Final = 0.01
"""Share of the clips below which copies and steps of one number are not worth a warning."""

MIN_RELATIVE_RANGE: Final = 1e-5
"""A column whose range is smaller beside its size keeps fewer than about 170 values in float32."""

FAR_FACTOR: Final = 1e4
"""A cell so many times the usual range away is an error of the extraction, not an outlier."""

MISSING_VALUES: Final = (-999.0, -9999.0)
"""Numbers that other tools write for a missing value."""

_SAMPLED_CLIPS: Final = 256
"""Clips that the usual range of a column is estimated from."""

_MIN_SAMPLE: Final = 10
"""Fewer valid steps show no usual range."""

_MIN_VALUES: Final = 4
"""Rows with fewer different numbers, such as 0 and 1, are equal by chance."""


def find_data_warnings(streams: Sequence[Stream], clips: pd.DataFrame) -> tuple[DataWarning, ...]:
    """Return signs of ruined features and of names that are probably one name.

    Each stream is read once, in chunks.

    Args:
        streams: The streams of the set, with N rows each.
        clips: Table with `clip_id` and `group`, N rows.
    """
    found = list(_near_names(clips))
    for stream in streams:
        found += _stream_warnings(stream, clips)
    return tuple(found)


def _near_names(clips: pd.DataFrame) -> Iterator[DataWarning]:
    consequences = {
        "group": "If they name one person or video, its clips may be on both sides of the split, "
        "and the scores are too good.",
        "clip_id": "If they name one clip, the model may be trained and scored on it.",
    }
    names = {column: set(clips[column]) for column in consequences}
    if names["group"] == names["clip_id"]:
        del names["clip_id"]  # without groups the same names would be told twice
    for column, values in names.items():
        sets = nearly_equal_identifiers(values)
        if sets:
            shown = "; ".join(", ".join(map(repr, similar)) for similar in sorted(sets)[:3])
            yield DataWarning(
                title=f"Some values of {column} are nearly the same",
                detail=f"{shown}{f'; and {len(sets) - 3} more' if len(sets) > 3 else ''}. "
                f"{consequences[column]} Spell them alike in clips.csv.",
            )


@dataclass(kw_only=True)
class _StreamScan:
    """What one pass over a stream has found."""

    low: FloatArray
    """Smallest valid value of each column, shape (D,)."""
    high: FloatArray
    """Largest valid value of each column, shape (D,)."""
    hashes: IntArray
    """A number per clip; equal for equal features, shape (N,)."""
    is_flat: BoolArray
    """Whether a clip has a step that holds one number in every column, shape (N,)."""


def _stream_warnings(stream: Stream, clips: pd.DataFrame) -> Iterator[DataWarning]:
    if stream.shape[0] < 2:
        return
    scan = _scan(stream)
    lost = list(_lost_in_float32(stream, scan))
    yield from lost
    if np.array_equal(scan.low, scan.high):
        if lost:
            return
        yield DataWarning(
            title=f"The {stream.name} features are constant",
            detail=f"{stream.parts[0].path}: every clip holds the same numbers (column 0 is "
            f"{scan.low[0]:g} throughout), so nothing can be learned. Extract them again.",
        )
        return
    yield from _missing_values(stream, scan, clips)
    yield from _far_cells(stream, scan, clips)
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
        mask = stream.read_mask(rows) if stream.has_mask else None
        valid = values.reshape(-1, width) if mask is None else values[mask].reshape(-1, width)
        np.minimum(scan.low, valid.min(axis=0), out=scan.low)
        np.maximum(scan.high, valid.max(axis=0), out=scan.high)
        scan.hashes[part] = [
            hash((clip if mask is None else clip[mask[index]]).tobytes())
            for index, clip in enumerate(values)
        ]
        if mask is None:
            scan.is_flat[part] = _flat(values).any(axis=1)
    return scan


def _flat(values: FloatArray) -> BoolArray:
    """Return which steps hold one number in every column, shape (n, T); (n, 1) for vectors."""
    num_clips, num_steps = len(values), values.shape[1] if values.ndim > 2 else 1
    steps = values.reshape(num_clips, num_steps, -1)
    if steps.shape[-1] < 2:
        return np.zeros((num_clips, num_steps), dtype=np.bool_)
    flat: BoolArray = steps[..., 0] == steps[..., -1]  # few steps pass this test
    flat[flat] = (steps[flat] == steps[flat][:, :1]).all(axis=1)
    return flat


def _missing_values(
    stream: Stream, scan: _StreamScan, clips: pd.DataFrame
) -> Iterator[DataWarning]:
    columns = np.flatnonzero(np.isin(scan.low, MISSING_VALUES))
    if not columns.size:
        return
    column, value = int(columns[0]), float(scan.low[columns[0]])
    yield DataWarning(
        title=f"The {stream.name} features hold {value:g}",
        detail=f"{_cell(stream, column, lambda cells: cells == value, clips)}; {len(columns)} of "
        f"{stream.width} columns hold it. Other tools write it for a missing value, and here it "
        f"counts as a measurement. {_mask_cure(stream)}",
    )


def _far_cells(stream: Stream, scan: _StreamScan, clips: pd.DataFrame) -> Iterator[DataWarning]:
    sample = _sample(stream)
    if len(sample) < _MIN_SAMPLE:
        return
    low, middle, high = np.quantile(sample, (0.1, 0.5, 0.9), axis=0, method="nearest")
    usual = (high - low).astype(np.float64)
    if not (usual > 0).any():
        return
    # Sparse columns are narrow by themselves: a far cell is far for the other columns, too.
    limit = FAR_FACTOR * np.maximum(usual, np.median(usual[usual > 0]))
    distance = np.maximum(scan.high - middle, middle - scan.low)
    is_far = (usual > 0) & (distance > limit) & ~np.isin(scan.low, MISSING_VALUES)
    if not is_far.any():
        return
    column = int(np.argmax(np.where(is_far, distance / limit, 0)))
    centre, most = middle[column], limit[column]
    yield DataWarning(
        title=f"A {stream.name} feature is far from all others",
        detail=f"{_cell(stream, column, lambda cells: abs(cells - centre) > most, clips)}, where "
        f"80 % of the values lie between {low[column]:g} and {high[column]:g}; "
        f"{int(is_far.sum())} of {stream.width} columns have such values. On the scale of this "
        f"value all others are equal, so nothing is learned from the column. Extract the clip "
        f"again, or drop it.",
    )


def _sample(stream: Stream) -> FloatArray:
    """Return valid steps of some clips, spread evenly over the set, shape (M, D)."""
    num_clips = stream.shape[0]
    spread = np.linspace(0, num_clips - 1, min(num_clips, _SAMPLED_CLIPS)).astype(np.intp)
    rows, values = next(stream.chunks(spread))  # a chunk is enough
    if stream.has_mask:
        values = values[stream.read_mask(rows)]
    return values.reshape(-1, stream.width)


def _lost_in_float32(stream: Stream, scan: _StreamScan) -> Iterator[DataWarning]:
    size = np.maximum(abs(scan.low), abs(scan.high))
    columns = np.flatnonzero((size > 0) & (scan.high - scan.low < MIN_RELATIVE_RANGE * size))
    if not columns.size:
        return
    low, high = _range_in_file(stream, columns)
    varies = high > low  # a column that is constant in the file has lost nothing
    if not varies.any():
        return
    lost = columns[varies]
    yield DataWarning(
        title=f"Some {stream.name} features are lost in float32",
        detail=f"{stream.parts[0].path}: column {lost[0]} runs from {float(low[varies][0])!r} to "
        f"{float(high[varies][0])!r}. Models compute in float32, which hardly tells such numbers "
        f"apart; {len(lost)} of {stream.width} columns are like this. Subtract the offset before "
        f"the array is saved, or drop the column.",
    )


def _range_in_file(stream: Stream, columns: IntArray) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the smallest and largest value of some columns as they are in the files."""
    ends = [
        [(column.min(), column.max()) for column in (part.values[..., each] for each in columns)]
        for part in stream.parts
    ]
    low, high = np.moveaxis(np.array(ends), -1, 0)  # each (parts, columns)
    return low.min(axis=0), high.max(axis=0)


def _flat_steps(stream: Stream, scan: _StreamScan, clips: pd.DataFrame) -> Iterator[DataWarning]:
    rows = np.flatnonzero(scan.is_flat)
    if not _is_many(len(rows), stream):
        return
    values = stream.read(rows[:1])
    step = int(_flat(values)[0].argmax())
    value = float(values.reshape(1, stream.num_steps or 1, -1)[0, step, 0])
    if value in MISSING_VALUES:  # `_missing_values` has warned of it
        return
    where = f", step {step}," if stream.num_steps is not None else ""
    yield DataWarning(
        title=f"{len(rows)} clips have {stream.name} features that are one number",
        detail=f"{_place(stream, int(rows[0]), clips)}{where} holds {value:g} in every column. "
        f"Padding, or what stands for nothing found, counts as a measurement here. "
        f"{_mask_cure(stream)}",
    )


def _copies(stream: Stream, scan: _StreamScan, clips: pd.DataFrame) -> Iterator[DataWarning]:
    groups = clips["group"].to_numpy(dtype=np.str_)
    num_groups = pd.Series(groups).groupby(scan.hashes).transform("nunique").to_numpy()
    rows = np.flatnonzero((num_groups > 1) & ~scan.is_flat)
    if not _is_many(len(rows), stream):
        return
    row = int(rows[0])
    twin = int(np.argmax((scan.hashes == scan.hashes[row]) & (groups != groups[row])))
    if len(np.unique(stream.read(rows[:1]))) < _MIN_VALUES:
        return
    yield DataWarning(
        title=f"{len(rows)} clips have the {stream.name} features of a clip of another group",
        detail=f"{_place(stream, row, clips)} holds the same numbers as "
        f"{_place(stream, twin, clips)}. Either features were written to the wrong rows, "
        f"or the clips are copies and should have one group. Extract them again, or drop the "
        f"copies.",
    )


def _is_many(number: int, stream: Stream) -> bool:
    return number >= max(2, MIN_SHARE * stream.shape[0])


def _mask_cure(stream: Stream) -> str:
    path = stream.parts[0].path
    if stream.num_steps is None:
        return "Extract these clips again, or drop them."
    return f"Mark these steps False in {path.stem}_mask.npy, or extract the clips again."


def _cell(
    stream: Stream, column: int, test: Callable[[FloatArray], BoolArray], clips: pd.DataFrame
) -> str:
    """Return in words the first valid cell of a column that passes a test."""
    for rows, values in stream.chunks():
        cells = values[..., column]
        hits: NDArray[np.bool_] = test(cells)
        if stream.has_mask:
            mask = stream.read_mask(rows)
            hits = hits & mask.reshape(mask.shape + (1,) * (hits.ndim - 2))
        if hits.any():
            index = tuple(int(axis) for axis in np.argwhere(hits)[0])
            step = f" in step {index[1]}," if len(index) > 1 else " in"
            place = _place(stream, int(rows[index[0]]), clips)
            return f"{place} holds {cells[index]:g}{step} column {column}"
    raise AssertionError("the scan has seen such a cell")


def _place(stream: Stream, row: int, clips: pd.DataFrame) -> str:
    part, part_row = stream.locate(row)
    return f"{part.path}: row {part_row} (clip {clips['clip_id'].iloc[row]})"
