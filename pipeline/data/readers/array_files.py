"""Read arrays of clips: NumPy files and archives, and HDF5. Nothing is unpickled.

Legend: N clips, T steps, D values per step.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.core.errors import FeatureSetError, one_line
from pipeline.core.near_names import did_you_mean
from pipeline.data.array_file import NUMBERS, open_array
from pipeline.data.frames import ClipFile, Frames
from pipeline.data.readers.table_clips import split_names

ARRAY_SUFFIXES: Final = (".npy", ".npz", ".h5", ".hdf5")
PICKLE_SUFFIXES: Final = (".pkl", ".pickle", ".pt", ".pth")


def open_array_folder(
    files: Mapping[str, tuple[str, Path]], patterns: Sequence[str] = ()
) -> dict[str, ClipFile]:
    """Return the clips of files with one array each, by id.

    Args:
        files: Clip id -> folder and file.
        patterns: Shell patterns that select one array by its name in files with several arrays.
    """
    return {
        clip_id: _ClipArray(path, partial(_open_arrays, path), patterns=patterns).clip(folder)
        for clip_id, (folder, path) in files.items()
    }


def open_array_archive(path: Path) -> dict[str, ClipFile]:
    """Return the clips of an archive.

    The archive contains one array per clip, with the clip id as its name; or an array `keys` with
    the clip ids, and one array `v_0`, `v_1`, … per id.

    Raises:
        FeatureSetError: If the file is damaged, has no array, or two ids are equal.
    """
    arrays = _open_arrays(path)
    keys = names = list(arrays)
    if "keys" in arrays:
        with _errors_of(path):
            keys = [str(key) for key in np.asarray(arrays["keys"]).ravel().astype(str)]
        names = [f"v_{number}" for number in range(len(keys))]
    missing = [name for name in names if name not in arrays]
    if missing or not names:
        raise FeatureSetError(
            f"{path}: has no array {', '.join(missing[:3])}. Write one array per clip with its id "
            f"as name, or `keys` with the ids and one array v_0, v_1, … per id."
        )
    return {
        clip_id: _ClipArray(path, lambda: arrays, name=name).clip(folder)
        for (clip_id, folder), name in zip(split_names(path, keys).items(), names, strict=True)
    }


def open_array_rows(path: Path) -> dict[str, ClipFile]:
    """Return the rows of one array (N, T, D) as clips, by row number.

    Raises:
        FeatureSetError: If the array does not have three axes, or has a mask file.
    """
    array = open_array(path)
    if array.ndim != 3:
        raise FeatureSetError(
            f"{path}: has shape {array.shape}, and --num_steps needs (clips, steps, features). "
            f"Leave out --num_steps."
        )
    mask = path.with_name(f"{path.stem}_mask.npy")
    if mask.exists():
        raise FeatureSetError(f"{mask}: belongs to the present steps. Leave out --num_steps.")
    rows = {str(row): values for row, values in enumerate(array)}
    return {name: _ClipArray(path, lambda: rows, name=name).clip("") for name in rows}


def pickle_error(path: Path) -> FeatureSetError:
    """Return the error for a pickle, with the lines that convert it."""
    is_torch = path.suffix.lower() in (".pt", ".pth")
    module, load = ("torch", "torch.load") if is_torch else ("pandas", "pandas.read_pickle")
    return FeatureSetError(
        f"{path}: is a pickle. Pickles can run code, so they are not read. If you trust the files, "
        f"convert them with three lines of Python, and give the .npz files:\n"
        f"    import numpy, pathlib, {module}\n"
        f"    for path in pathlib.Path({str(path.parent)!r}).rglob('*{path.suffix}'):\n"
        f"        numpy.savez(path.with_suffix('.npz'), features=numpy.asarray({load}(path)))"
    )


@dataclass(frozen=True)
class _ClipArray:
    path: Path
    open_file: Callable[[], Mapping[str, Any]]
    name: str = ""
    patterns: Sequence[str] = ()

    def clip(self, folder: str) -> ClipFile:
        place = f"{self.path}: array {self.name!r}" if self.name else str(self.path)
        return ClipFile(folder=folder, place=place, read=self.read, num_frames=self.num_frames)

    def num_frames(self) -> int:
        shape = self._open().shape
        return int(shape[0]) if len(shape) == 2 else 0

    def read(self) -> Frames:
        array = self._open()
        with _errors_of(self.path), np.errstate(over="ignore"):
            values = np.atleast_2d(np.asarray(array).astype(np.float32))
        is_valid = np.ones(len(values), dtype=np.bool_)
        return Frames(values=values, is_valid=is_valid, is_vector=array.ndim == 1)

    def _open(self) -> Any:
        arrays = self.open_file()
        with _errors_of(self.path):
            name = self.name or _only_name(arrays, self.patterns)
            array = arrays[name]
        if array.ndim not in (1, 2) or 0 in array.shape or array.dtype.kind not in NUMBERS:
            raise FeatureSetError(
                f"{self.path}: {f'array {name!r} ' if name else ''}has shape {array.shape} and "
                f"type {array.dtype}, expected numbers of shape (steps, features) or (features,) "
                f"per clip. Reshape the array and save it again."
            )
        return array


def _open_arrays(path: Path) -> Mapping[str, Any]:
    """Return name -> array. In a `.npy` file, the name is "". Arrays are read on access."""
    if path.suffix.lower() == ".npy":
        return {"": open_array(path)}
    with _errors_of(path):
        if path.suffix.lower() == ".npz":
            archive: Mapping[str, Any] = np.load(path, allow_pickle=False)
            return archive
        import h5py

        file = h5py.File(path, "r")
        arrays: dict[str, Any] = {}

        def add(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                arrays[name] = item

        file.visititems(add)
        return arrays


def _only_name(arrays: Mapping[str, Any], patterns: Sequence[str]) -> str:
    names = [name for name in arrays if arrays[name].ndim]  # no single numbers
    chosen = [name for name in names if any(fnmatch(name, each) for each in patterns or "*")]
    if len(chosen) != 1:
        near = did_you_mean(patterns[0], names) if patterns else ""
        raise FeatureSetError(
            f"has the arrays {', '.join(names[:12]) or '(none)'}, expected one per file.{near} "
            f"Choose one with --columns NAME=ARRAY."
        )
    return chosen[0]


@contextlib.contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise FeatureSetError(f"{path}: there is no such file. Check the path.") from None
    except FeatureSetError as error:
        raise FeatureSetError(f"{path}: {error}") from error
    # A damaged archive makes the zip, array and HDF5 readers raise almost any error.
    except Exception as error:
        reason = one_line(error)[:300]
        if "allow_pickle" in reason or "Object arrays" in reason:
            reason = "an array has Python objects, which are not unpickled"
        raise FeatureSetError(
            f"{path}: cannot be read as arrays: {reason}. Save each array as numbers."
        ) from error
