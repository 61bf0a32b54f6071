"""Open `.npy` files as memory maps: checked first, and never unpickled."""

import math
import tokenize
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import FeatureSetError, one_line
from pipeline.core.near_names import did_you_mean_path

NUMBERS: Final = "fiu"
"""The NumPy kinds of real numbers: floats and integers."""

BOOLEANS: Final = "b"
"""The NumPy kind of masks."""

_HEADER_ERRORS: Final = (
    MemoryError,
    OSError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
)
"""Errors of NumPy for a bad header, which it evaluates as a Python literal."""


def open_array(path: Path, *, kinds: str = NUMBERS) -> NDArray[Any]:
    """Open a `.npy` file as a read-only memory map; no value is read.

    Args:
        path: The file.
        kinds: NumPy kinds that are accepted.

    Raises:
        FeatureSetError: If the file is missing, is no `.npy` file, holds other values
            than numbers (objects are never unpickled), its header gives an impossible
            shape, or it has more or fewer bytes than its header announces.
    """
    shape, fortran_order, dtype, offset = _read_header(path)
    if dtype.kind not in kinds:
        expected = "True and False" if kinds == BOOLEANS else "float or integer numbers"
        raise FeatureSetError(
            f"{path}: holds values of type {dtype}, expected {expected}. "
            f"Convert the array with `astype` and save it again."
        )
    # NumPy reads True and False, and numbers below 0, as lengths.
    if not all(type(length) is int and length >= 0 for length in shape):
        raise _impossible_shape(path, shape)
    expected_bytes = math.prod(shape) * dtype.itemsize
    found_bytes = path.stat().st_size - offset
    if found_bytes != expected_bytes:
        raise FeatureSetError(
            f"{path}: its header announces shape {_shown(shape)} and {expected_bytes} bytes of "
            f"data, but {found_bytes} follow. Copy or save the file again: it is not whole."
        )
    try:
        if expected_bytes == 0:  # an empty file cannot be mapped
            return np.empty(shape, dtype)
        order: Literal["F", "C"] = "F" if fortran_order else "C"
        mapped = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order=order)
    except ValueError as error:  # too many axes, or an axis too long
        raise _impossible_shape(path, shape) from error
    return np.asarray(mapped)


def _read_header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    try:
        with path.open("rb") as file:
            shape, fortran_order, dtype = _parse_header(file)
            return shape, fortran_order, dtype, file.tell()
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


def _parse_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    # Format 3.0 differs from 2.0 only for field names, which no array of numbers has.
    if np.lib.format.read_magic(file) == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


def _impossible_shape(path: Path, shape: tuple[int, ...]) -> FeatureSetError:
    return FeatureSetError(
        f"{path}: its header announces shape {_shown(shape)}, which no array can have. "
        f"Write the file again with `numpy.save`."
    )


def _shown(shape: tuple[int, ...]) -> str:
    text = str(shape)
    return text if len(text) <= 80 else f"{text[:77]}..."
