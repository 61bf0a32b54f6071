"""Read arrays of clips: NumPy files and archives, and HDF5. Nothing is unpickled.

Legend: N clips, T steps, D values per step.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import FeatureSetError, one_line
from pipeline.core.near_names import did_you_mean
from pipeline.data.array_file import NUMBERS, open_array
from pipeline.data.readers.frames import Frames
from pipeline.data.readers.table_clips import split_name

ARRAY_SUFFIXES: Final = (".npy", ".npz", ".h5", ".hdf5")
PICKLE_SUFFIXES: Final = (".pkl", ".pickle", ".pt", ".pth")


class ArrayFile(Protocol):
    """A file with named arrays."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the arrays."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array without reading it."""

    def read(self, name: str) -> NDArray[Any]:
        """Read an array."""


def open_array_file(path: Path) -> ArrayFile:
    """Open a `.npy`, `.npz`, `.h5` or `.hdf5` file.

    Raises:
        FeatureSetError: If the file is missing or damaged.
    """
    if path.suffix.lower() == ".npy":
        return _NpyFile(path)
    with _errors_of(path):
        return _NpzFile(path) if path.suffix.lower() == ".npz" else _Hdf5File(path)


def pickle_error(path: Path) -> FeatureSetError:
    """Return the error for a pickle, with the lines that convert it."""
    is_torch = path.suffix.lower() in (".pt", ".pth")
    module, load = (
        ("torch", "torch.load(path)") if is_torch else ("pandas", "pandas.read_pickle(path)")
    )
    return FeatureSetError(
        f"{path}: is a pickle. Pickles can run code, so they are not read. If you trust the files, "
        f"convert them with three lines of Python:\n"
        f"    import numpy, pathlib, {module}\n"
        f"    for path in pathlib.Path({str(path.parent)!r}).rglob('*{path.suffix}'):\n"
        f"        numpy.savez(path.with_suffix('.npz'), features=numpy.asarray({load}))"
    )


class ArrayClips:
    """Clips in array files, one array (T, D) or (D,) per clip.

    Args:
        entries: Clip id -> file and name of the array.
        folders: Clip id -> folder.
        description: Format of the files.
        files: Files that stay open.
    """

    def __init__(
        self,
        entries: Mapping[str, tuple[Path, str]],
        folders: Mapping[str, str],
        *,
        description: str,
        files: Mapping[Path, ArrayFile],
    ) -> None:
        self.folders = folders
        self.description = description
        self._entries = entries
        self._files = files

    @classmethod
    def of_files(
        cls, files: Mapping[str, Path], folders: Mapping[str, str], patterns: Sequence[str] = ()
    ) -> "ArrayClips":
        """Return the clips of files with one array each, or with one array that is chosen.

        Raises:
            FeatureSetError: If a file has several arrays, or none.
        """
        entries = {clip_id: (path, _only_name(path, patterns)) for clip_id, path in files.items()}
        suffix = next(iter(files.values())).suffix.lower()
        return cls(entries, folders, description=f"arrays ({suffix})", files={})

    @classmethod
    def of_archive(cls, path: Path) -> "ArrayClips":
        """Return the clips of an archive: `keys` and `v_0`, `v_1`, …, or one array per clip.

        Raises:
            FeatureSetError: If there is no array, or two ids are equal.
        """
        file = open_array_file(path)
        names = list(file.names)
        keys = names
        if "keys" in names:
            with _errors_of(path):
                keys = [str(key) for key in file.read("keys").ravel().tolist()]
            names = [f"v_{number}" for number in range(len(keys))]
            missing = sorted({*names} - {*file.names})
            if missing:
                raise FeatureSetError(
                    f"{path}: has {len(keys)} keys, but no array {missing[0]!r}. Write one array "
                    f"v_0, v_1, … per key, or one array per clip with its id as name."
                )
        parts = [split_name(key) for key in keys]
        if len({clip_id for _, clip_id in parts}) < len(parts):
            parts = [(folder, f"{folder}/{clip_id}".lstrip("/")) for folder, clip_id in parts]
        ids = [clip_id for _, clip_id in parts]
        if len({*ids}) < len(ids) or not ids:
            raise FeatureSetError(
                f"{path}: has {len(ids)} arrays with {len({*ids})} different clip ids. Write one "
                f"array per clip, with its id as name."
            )
        return cls(
            {clip_id: (path, name) for clip_id, name in zip(ids, names, strict=True)},
            {clip_id: folder for folder, clip_id in parts},
            description=f"arrays, one file ({path.suffix.lower()})",
            files={path: file},
        )

    def place(self, clip_id: str) -> str:
        """Return the file of a clip, and the name of its array in an archive."""
        path, name = self._entries[clip_id]
        return f"{path}: array {name!r}" if name else str(path)

    def num_frames(self, clip_id: str) -> int:
        """Return T, or 0 for one vector per clip.

        Raises:
            FeatureSetError: If the array has another shape.
        """
        path, name = self._entries[clip_id]
        with _errors_of(path):
            shape = self._file(path).shape(name)
        if len(shape) not in (1, 2) or 0 in shape:
            raise FeatureSetError(
                f"{self.place(clip_id)}: has shape {shape}, expected (steps, features) or "
                f"(features,) per clip. Reshape the array and save it again."
            )
        return shape[0] if len(shape) == 2 else 0

    def read(self, clip_id: str) -> Frames:
        """Read one clip.

        Raises:
            FeatureSetError: If the array has another shape, is damaged, or has no numbers.
        """
        num_frames = self.num_frames(clip_id)
        path, name = self._entries[clip_id]
        with _errors_of(path):
            array = self._file(path).read(name)
        if array.dtype.kind not in NUMBERS:
            raise FeatureSetError(
                f"{self.place(clip_id)}: has values of type {array.dtype}, expected numbers. "
                f"Objects are not unpickled; convert the array with `astype` and save it again."
            )
        with np.errstate(over="ignore"):
            values = np.atleast_2d(array.astype(np.float32))
        is_valid = np.ones(len(values), dtype=np.bool_)
        return Frames(values=values, is_valid=is_valid, is_vector=not num_frames)

    def _file(self, path: Path) -> ArrayFile:
        return self._files.get(path) or open_array_file(path)


class _NpyFile:
    names = ("",)

    def __init__(self, path: Path) -> None:
        self._array = open_array(path)

    def shape(self, name: str) -> tuple[int, ...]:
        del name
        return self._array.shape

    def read(self, name: str) -> NDArray[Any]:
        del name
        return self._array


class _NpzFile:
    def __init__(self, path: Path) -> None:
        self._archive = np.load(path, allow_pickle=False)
        self.names: Sequence[str] = self._archive.files

    def shape(self, name: str) -> tuple[int, ...]:
        with self._archive.zip.open(f"{name}.npy") as file:
            is_first = np.lib.format.read_magic(file) == (1, 0)
            read = (
                np.lib.format.read_array_header_1_0
                if is_first
                else np.lib.format.read_array_header_2_0
            )
            shape: tuple[int, ...] = read(file)[0]
            return shape

    def read(self, name: str) -> NDArray[Any]:
        return np.asarray(self._archive[name])


class _Hdf5File:
    def __init__(self, path: Path) -> None:
        import h5py

        self._file = h5py.File(path, "r")
        names: list[str] = []
        self._file.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
        self.names = names

    def shape(self, name: str) -> tuple[int, ...]:
        shape: tuple[int, ...] = self._file[name].shape
        return shape

    def read(self, name: str) -> NDArray[Any]:
        return np.asarray(self._file[name][()])


def _only_name(path: Path, patterns: Sequence[str]) -> str:
    if path.suffix.lower() == ".npy":
        return ""
    file = open_array_file(path)
    with _errors_of(path):
        names = [name for name in file.names if file.shape(name)]  # no single numbers
    chosen = [name for name in names if any(fnmatch(name, each) for each in patterns)]
    chosen = chosen if patterns else names
    if len(chosen) != 1:
        near = did_you_mean(patterns[0], names) if patterns else ""
        raise FeatureSetError(
            f"{path}: has the arrays {', '.join(names[:12]) or '(none)'}, expected one per file."
            f"{near} Choose one with --columns NAME=ARRAY."
        )
    return chosen[0]


@contextlib.contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except FeatureSetError:
        raise
    # A damaged archive makes the zip, array and HDF5 readers raise almost any error.
    except Exception as error:
        reason = one_line(error)[:200]
        if "allow_pickle" in reason or "Object arrays" in reason:
            reason = "an array has Python objects, which are not unpickled"
        raise FeatureSetError(
            f"{path}: cannot be read as arrays ({reason}). Save arrays of numbers again."
        ) from error
