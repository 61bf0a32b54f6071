"""Open the arrays of a feature set as memory maps, and check them.

Legend: N clips, T steps, D width. Row numbers in error messages start at 0 in each file.
"""

import math
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.core.errors import FeatureSetError, one_line
from pipeline.core.near_names import did_you_mean_path
from pipeline.core.traits import NUM_TRAITS
from pipeline.data.stream import Stream

NUMBERS: Final = "fiu"
"""`dtype.kind` codes of real numbers: floats and integers."""

BOOLEANS: Final = "b"
"""`dtype.kind` code of masks."""

_HEADER_ERRORS: Final = (
    MemoryError,
    OSError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
)
"""Errors that NumPy raises for an invalid header.

NumPy parses the header as a Python literal, so errors of the Python parser are possible."""


_CHECKED_BYTES: Final = 2**22
"""Maximum size of a chunk that is checked and hashed. It fits in the cache of the processor."""

_TABLE_SUFFIXES: Final = (".csv", ".tsv", ".txt", ".parquet", ".xlsx")


def open_array(
    path: Path, *, kinds: str = NUMBERS, prepare_option: str = "--stream NAME=PATH"
) -> NDArray[Any]:
    """Open a `.npy` file as a read-only memory map; `kinds` contains the valid `dtype.kind` codes.

    Args:
        path: The `.npy` file.
        kinds: Valid `dtype.kind` codes.
        prepare_option: Option of `prepare` that reads a table with the same content.

    Raises:
        FeatureSetError: If the file is missing or is not a `.npy` file, the kind of the values is
            not in `kinds`, the shape is impossible, or the file size does not match the header.
            Python objects are never unpickled.
    """
    if path.is_dir():
        raise FeatureSetError(
            f"{path}: is a directory, but must be a .npy file. Give the directory as "
            f"--features_dir, or give a file in the directory."
        )
    if path.suffix.lower() in _TABLE_SUFFIXES and path.exists():
        raise FeatureSetError(
            f"{path}: is a table, but must be a .npy file. Turn the table into a feature set with "
            f"`python -m pipeline prepare {prepare_option}`."
        )
    shape, fortran_order, dtype, offset = _read_header(path)
    if dtype.kind not in kinds:
        expected = "True and False" if kinds == BOOLEANS else "float or integer numbers"
        raise FeatureSetError(
            f"{path}: must contain {expected}, but has values of type {dtype}. "
            f"Convert the array with `astype` and save it again."
        )
    # A header with a Boolean or a negative length is valid for NumPy, but is rejected here.
    if not all(type(length) is int and length >= 0 for length in shape):
        raise _impossible_shape(path, shape)
    expected_bytes = math.prod(shape) * dtype.itemsize
    found_bytes = path.stat().st_size - offset
    if found_bytes != expected_bytes:
        raise FeatureSetError(
            f"{path}: is incomplete or damaged: the header describes shape {str(shape)[:80]} and "
            f"{expected_bytes} bytes of data, but {found_bytes} bytes follow. Copy the file again, "
            f"or save the array again."
        )
    try:
        if expected_bytes == 0:  # an array without values cannot be mapped
            return np.empty(shape, dtype)
        order: Literal["F", "C"] = "F" if fortran_order else "C"
        mapped = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order=order)
    except ValueError as error:  # there are too many axes, or an axis is too long
        raise _impossible_shape(path, shape) from error
    return np.asarray(mapped)


def check_features(path: Path, values: NDArray[Any]) -> None:
    """Check that an array of features contains vectors, sequences or images, and is not empty.

    Raises:
        FeatureSetError: If the shape is wrong.
    """
    if values.ndim not in (2, 3, 5):
        raise FeatureSetError(
            f"{path}: must have shape (clips, steps, features), (clips, features), or (clips, "
            f"steps, height, width, channels) for images, but has shape {values.shape}. "
            f"Reshape the array and save it again."
        )
    if values.size == 0:
        raise FeatureSetError(
            f"{path}: has no features: the shape is {values.shape}. "
            f"Extract the features of at least one clip."
        )


def check_num_rows(path: Path, num_rows: int, *, reference: Path, expected: int) -> None:
    """Check that a file has as many rows as the `reference` file.

    Raises:
        FeatureSetError: If the numbers of rows differ.
    """
    if num_rows != expected:
        raise FeatureSetError(
            f"{path}: has {num_rows} rows, but {reference} has {expected}. "
            f"Write both files for the same clips, in the same order."
        )


def check_mask(path: Path, mask: BoolArray, values: NDArray[Any]) -> None:
    """Check the shape of a mask: (N, T) for sequences, (N, 1) or (N,) for vectors.

    Raises:
        FeatureSetError: If the shape is wrong.
    """
    if values.ndim < 3:
        if mask.shape not in (values.shape[:1], (len(values), 1)):
            raise FeatureSetError(
                f"{path}: must have shape ({len(values)},) or ({len(values)}, 1) for features of "
                f"shape {values.shape}, which have no steps, but has shape {mask.shape}. Write "
                f"one True or False for each clip, or reshape the features to (clips, steps, "
                f"features)."
            )
    elif mask.shape != values.shape[:2]:
        raise FeatureSetError(
            f"{path}: must have shape {values.shape[:2]} like the features, but has shape "
            f"{mask.shape}. Write one True or False for each step."
        )


def check_presence(streams: Sequence[Stream], clips: pd.DataFrame) -> None:
    """Check that each clip has a stream with a valid step, and that each stream has such a clip.

    Raises:
        FeatureSetError: If a clip lacks all streams, or all clips lack a stream.
    """
    names = ", ".join(stream.name for stream in streams)
    for stream in streams:
        if stream.is_absent.all():
            place = stream.parts[0].path
            raise FeatureSetError(
                f"{place.with_name(place.stem)}_mask.npy: row 0{_clip(0, clips)} and all other "
                f"rows have no valid step. Set the valid steps to True, or remove the stream "
                f"{stream.name}."
            )
    empty = np.logical_and.reduce([stream.is_absent for stream in streams])
    if empty.any():
        row = int(empty.argmax())
        part, part_row = streams[0].locate(row)
        raise FeatureSetError(
            f"{part.path.with_name(part.path.stem)}_mask.npy: row {part_row}{_clip(row, clips)} "
            f"has no valid step in any stream ({names}). Set the valid steps to True, or drop the "
            f"clip from every file."
        )


def check_seconds(path: Path, seconds: NDArray[Any], streams: Sequence[NDArray[Any]]) -> None:
    """Check that `seconds` contains one time per step of a stream, and that no time is infinite.

    Args:
        path: File of the times.
        seconds: Times of the steps, shape (N, T); NaN if unknown.
        streams: Features of the streams that the times may belong to.

    Raises:
        FeatureSetError: If the shape fits no stream, or a time is infinite.
    """
    if seconds.shape not in [values.shape[:2] for values in streams if values.ndim > 2]:
        found = " and ".join(str(values.shape) for values in streams)
        raise FeatureSetError(
            f"{path}: has shape {seconds.shape}, but must have one time per step (clips, steps) "
            f"for features of shape {found}. Delete the file, or write it for these features."
        )
    infinite = np.isinf(seconds)
    if infinite.any():
        row, step = (int(index) for index in np.argwhere(infinite)[0])
        raise FeatureSetError(
            f"{path}: row {row} has {seconds[row, step]} in step {step}, but a time must be finite "
            f"or NaN. Write the seconds from the start of the clip, or NaN if the time is unknown."
        )


def check_labels(
    path: Path, labels: NDArray[Any], clips: pd.DataFrame, trait_names: Sequence[str]
) -> None:
    """Check that labels have shape (N, K), and that each label is in [0, 1].

    Args:
        path: File of the labels.
        labels: Scores, shape (N, K).
        clips: Table with N clips.
        trait_names: Names of the K columns.

    Raises:
        FeatureSetError: If the shape or a label is wrong.
    """
    num_traits = len(trait_names)
    if labels.ndim != 2 or labels.shape[1] != num_traits:
        has_interview = num_traits == NUM_TRAITS and labels.shape[1:] == (NUM_TRAITS + 1,)
        fix = "Drop the `interview` column, or" if has_interview else "Reorder or add columns, or"
        raise FeatureSetError(
            f"{path}: has shape {labels.shape}, but must have shape ({len(clips)}, {num_traits}) "
            f"with the columns {', '.join(trait_names)}. {fix} name the columns in `traits` of "
            f"features.json."
        )
    wrong = ~((labels >= 0) & (labels <= 1))  # also true for NaN
    if wrong.any():
        row, column = (int(index) for index in np.argwhere(wrong)[0])
        raise FeatureSetError(
            f"{path}: row {row}{_clip(row, clips)} has {trait_names[column]} "
            f"{labels[row, column]}, but a score must be in [0, 1]. {_label_fix(labels)}"
        )


def finite_chunks(stream: Stream, clips: pd.DataFrame) -> Iterator[FloatArray]:
    """Yield all rows of a stream in float32 chunks, and check that every value is finite.

    Raises:
        FeatureSetError: If a value is NaN, infinite or too large for float32.
    """
    for rows, values in stream.chunks(max_bytes=_CHECKED_BYTES):
        finite = np.isfinite(values)
        if not finite.all():
            index, *position = (int(axis) for axis in np.argwhere(~finite)[0])
            row = int(rows[index])
            part, part_row = stream.locate(row)
            found = part.values[part_row][tuple(position)]
            steps = f"step {position[0]}, " if len(position) > 1 else ""
            fix = "Extract the clip again, or drop it from every file."
            mask = None if part.mask is None else part.mask[part_row]
            if mask is not None and not mask[position[0] if stream.num_steps else 0]:
                fix = "The mask marks this step as padding: pad with zeros."
            raise FeatureSetError(
                f"{part.path}: row {part_row}{_clip(row, clips)} has {found} in {steps}"
                f"column {position[-1]}, but features must be finite in float32. {fix}"
            )
        yield values


def _read_header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    try:
        with path.open("rb") as file:
            # The formats 2.0 and 3.0 differ only in the encoding of field names. The arrays of a
            # feature set have no fields, so one function reads both formats.
            if np.lib.format.read_magic(file) == (1, 0):
                header = np.lib.format.read_array_header_1_0(file)
            else:
                header = np.lib.format.read_array_header_2_0(file)
            return *header, file.tell()
    except FileNotFoundError:
        raise FeatureSetError(
            f"{path}: there is no such file. Check the path, or save the array there."
            f"{did_you_mean_path(path)}"
        ) from None
    except _HEADER_ERRORS as error:
        reason = one_line(error)[:200]
        raise FeatureSetError(
            f"{path}: is not a .npy file ({reason}). Write it with `numpy.save`."
        ) from error


def _impossible_shape(path: Path, shape: tuple[int, ...]) -> FeatureSetError:
    return FeatureSetError(
        f"{path}: the header describes the impossible shape {str(shape)[:80]}. "
        f"Write the file again with `numpy.save`."
    )


def _label_fix(labels: NDArray[Any]) -> str:
    finite = labels[np.isfinite(labels)]
    if finite.size < labels.size:
        return "Drop the clips without a score from every file."
    largest = finite.max()
    if largest <= 1.5:
        return "Map the scores to [0, 1]; undo any standardization first."
    for top in (5, 7):
        if largest <= top and finite.min() >= 1:
            return f"The scores look like 1-{top}: subtract 1, then divide by {top - 1}."
        if largest <= top:
            return f"The scores look like 0-{top}: divide by {top}."
    return "The scores look like 0-100: divide by 100."


def _clip(row: int, clips: pd.DataFrame) -> str:
    return f" (clip {clips['clip_id'].iloc[row]})"
