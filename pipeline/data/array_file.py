"""Open `.npy` files as memory maps: checked first, and never unpickled."""

import math
import tokenize
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import FeatureSetError
from pipeline.core.near_names import did_you_mean_path

NUMBERS: Final = "fiu"
"""The NumPy kinds of real numbers: floats and integers."""

BOOLEANS: Final = "b"
"""The NumPy kind of masks."""


def open_array(path: Path, *, kinds: str = NUMBERS) -> NDArray[Any]:
    """Open a `.npy` file as a read-only memory map; no value is read.

    Args:
        path: The file.
        kinds: NumPy kinds that are accepted.

    Raises:
        FeatureSetError: If the file is missing, is no `.npy` file, holds other values
            than numbers (objects are never unpickled), or has more or fewer bytes than
            its header announces.
    """
    shape, fortran_order, dtype, offset = _read_header(path)
    if dtype.kind not in kinds:
        expected = "True and False" if kinds == BOOLEANS else "float or integer numbers"
        raise FeatureSetError(
            f"{path}: holds values of type {dtype}, expected {expected}. "
            f"Convert the array with `astype` and save it again."
        )
    expected_bytes = math.prod(shape) * dtype.itemsize
    found_bytes = path.stat().st_size - offset
    if found_bytes != expected_bytes or min(shape, default=0) < 0:
        raise FeatureSetError(
            f"{path}: its header announces shape {shape} and {expected_bytes} bytes of data, "
            f"but {found_bytes} follow. Copy or save the file again: it is not whole."
        )
    if expected_bytes == 0:  # nothing can be mapped
        return np.empty(shape, dtype)
    mapped = np.memmap(
        path,
        dtype=dtype,
        mode="r",
        offset=offset,
        shape=shape,
        order="F" if fortran_order else "C",
    )
    return np.asarray(mapped)


def _read_header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    try:
        with path.open("rb") as file:
            return *_parse_header(file), file.tell()
    except FileNotFoundError:
        raise FeatureSetError(
            f"{path}: there is no such file. Check the path, or save the array there."
            f"{did_you_mean_path(path)}"
        ) from None
    # NumPy reads a header as Python, and again by its tokens where that fails.
    except (OSError, ValueError, SyntaxError, tokenize.TokenError) as error:
        reason = " ".join(str(error).split())[:200]
        raise FeatureSetError(
            f"{path}: is not a .npy file ({reason}). Write it with `numpy.save`."
        ) from error


def _parse_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    # Format 3.0 differs from 2.0 only for field names, which no array of numbers has.
    if np.lib.format.read_magic(file) == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)
