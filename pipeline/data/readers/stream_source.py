"""Read one stream from the files of another tool.

Legend: N clips, T steps, D values per step.
"""

import contextlib
import os
import re
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import rich.progress
from numpy.typing import NDArray

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.core.errors import FeatureSetError
from pipeline.core.files import disk_errors_named
from pipeline.core.identifiers import normalize_identifier
from pipeline.core.near_names import did_you_mean, did_you_mean_path
from pipeline.data.array_file import BOOLEANS, check_features, open_array
from pipeline.data.readers.array_files import (
    ARRAY_SUFFIXES,
    PICKLE_SUFFIXES,
    ArrayClips,
    pickle_error,
)
from pipeline.data.readers.frames import ClipReader, Frames
from pipeline.data.readers.table_clips import TableOfClips, TablePerClip
from pipeline.data.readers.table_file import TABLE_SUFFIXES
from pipeline.data.time_steps import ResampleMethod, resample, valid_frames

DEFAULT_NUM_STEPS: Final = 16
"""Number of steps of clips with different lengths."""

_SUFFIXES: Final = (*ARRAY_SUFFIXES, *TABLE_SUFFIXES)

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamArrays:
    """Arrays of one stream and what was read. Rows are in the order of the requested clips."""

    values: NDArray[Any]
    """Memory map of shape (N, T, D), or (N, D) for vectors; float32 and finite, if resampled."""
    mask: BoolArray | None
    """True for valid steps, shape (N, T), or (N, 1) for vectors; None if all are valid."""
    seconds: FloatArray | None
    """Middle of each step, shape (N, T), float32; None if unknown."""
    columns: tuple[str, ...]
    """Names of the D values; empty if unknown."""
    num_frames: int
    """Number of frames or vectors that were read."""
    num_masked: int
    """Number of these without a subject, with low confidence, or with NaN."""
    empty_clips: tuple[str, ...]
    """Ids of the clips without a valid frame."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamSource:
    """Files of one stream, found but not read."""

    name: str
    """Name of the stream."""
    path: Path
    """File or folder."""
    description: str
    """Format and number of files, for the user."""
    clip_ids: tuple[str, ...] | None
    """Ids in the order of the files or rows; None for one array in the order of `clips.csv`."""
    clip_folders: tuple[str, ...] | None
    """Folder of each clip, "" if none."""
    unused: tuple[Path, ...]
    """Files in the folder that are not read because of their type."""
    reader: ClipReader | None
    """Reader of the clips; None for one array."""
    num_steps: int | None
    """Number of steps T; None to keep the steps of arrays with equal lengths."""
    how: ResampleMethod
    """How frames become steps."""

    def read_all(
        self,
        clip_ids: Sequence[str] | None = None,
        progress: rich.progress.Progress | None = None,
        *,
        scratch_dir: Path | None = None,
    ) -> StreamArrays:
        """Read clips on all cores, in bounded memory.

        Args:
            clip_ids: Clips to read; None for all.
            progress: Progress display, which gets a task with the name of the stream.
            scratch_dir: Directory of the temporary file of the values; None for the default of
                the system. The file has no name and ends with its memory map.

        Raises:
            FeatureSetError: If a clip is unknown or cannot be read, or has other columns than the
                first, or no clip has a valid frame.
        """
        if self.reader is None:
            return _open_rows(self.path)
        with _named(self.name):
            ids = tuple(self.reader.folders) if clip_ids is None else tuple(clip_ids)
            unknown = next((each for each in ids if each not in self.reader.folders), None)
            if unknown is not None:
                near = did_you_mean(unknown, self.reader.folders)
                raise FeatureSetError(f"{self.path}: has no clip {unknown!r}.{near}")
            conversion = _conversion(self, self.reader, ids)
            task = None if progress is None else progress.add_task(self.name, total=len(ids))
            directory = scratch_dir or Path(tempfile.gettempdir())
            clips = []
            # On a full disk, a write raises an error but a memory map ends the process (SIGBUS).
            with disk_errors_named(directory), tempfile.TemporaryFile(dir=directory) as file:
                for clip in _in_threads(conversion.read, ids):
                    file.write(clip.values.data)
                    clips.append(replace(clip, values=clip.values[:0]))
                    if progress is not None and task is not None:
                        progress.advance(task)
                file.flush()
                shape = (len(ids), *conversion.shape)
                values = np.memmap(file, np.float32, "r", shape=shape)
        empty = tuple(each.clip_id for each in clips if not each.mask.any())
        if len(empty) == len(clips):
            raise _no_valid_frame(self, self.reader, conversion.first)
        seconds = np.stack([clip.seconds for clip in clips]).astype(np.float32)
        has_seconds = not conversion.is_vector and np.isfinite(seconds).any()
        return StreamArrays(
            values=values,
            mask=np.stack([clip.mask for clip in clips]),
            seconds=seconds if has_seconds else None,
            columns=conversion.first.columns,
            num_frames=sum(clip.num_frames for clip in clips),
            num_masked=sum(clip.num_masked for clip in clips),
            empty_clips=empty,
        )


def open_stream(
    name: str,
    path: Path,
    format: str = "",  # noqa: A002 - the name of the flag
    columns: Sequence[str] = (),
    num_steps: int | None = None,
    how: ResampleMethod = "mean",
    *,
    id_column: str = "",
) -> StreamSource:
    """Find the clips of a stream in a file or a folder, and the format of the files.

    Args:
        name: Name of the stream.
        path: One file with all clips; a folder with one file per clip, also in subfolders; or one
            `.npy` with a row per clip in the order of `clips.csv`.
        format: Name of a table format; empty to detect it from the columns.
        columns: Shell patterns of columns; empty for the default of the format.
        num_steps: Number of steps T; None to keep arrays of equal length, otherwise 16.
        how: `mean` over each window, or the frame `nearest` to its middle.
        id_column: Column with the clip ids of one table; empty to find it by its name.

    Raises:
        FeatureSetError: If there are no clips, or their format or columns are unknown.
    """
    if num_steps is not None and num_steps < 1:
        raise FeatureSetError(f"--num_steps is {num_steps}, expected at least 1.")
    if not path.exists():
        near = did_you_mean_path(path)
        raise FeatureSetError(
            f"{path}: there is no such file or folder. Correct --stream {name}=PATH.{near}"
        )
    reader: ClipReader | None
    unused: tuple[Path, ...] = ()
    with _named(name):
        if path.is_dir():
            files, folders, unused = _find_files(path)
            suffix = next(iter(files.values())).suffix.lower()
            reader = (
                ArrayClips.of_files(files, folders, columns)
                if suffix in ARRAY_SUFFIXES
                else TablePerClip(
                    files, folders, format_name=format, patterns=columns, id_column=id_column
                )
            )
        elif path.suffix.lower() == ".npy":
            array = open_array(path)
            check_features(path, array)
            reader = None if num_steps is None else _ArrayRows(path, array)
        elif path.suffix.lower() in ARRAY_SUFFIXES:
            reader = ArrayClips.of_archive(path)
        elif path.suffix.lower() in PICKLE_SUFFIXES:
            raise pickle_error(path)
        else:
            reader = TableOfClips(path, format_name=format, patterns=columns, id_column=id_column)
    has_ids = reader is not None and not isinstance(reader, _ArrayRows)
    return StreamSource(
        name=name,
        path=path,
        description=reader.description if reader else "array in the order of the clips (.npy)",
        clip_ids=tuple(reader.folders) if reader and has_ids else None,
        clip_folders=tuple(reader.folders.values()) if reader and has_ids else None,
        unused=unused,
        reader=reader,
        num_steps=num_steps,
        how=how,
    )


class _ArrayRows:
    """Rows of one array (N, T, D), with row numbers as ids."""

    description = "array in the order of the clips (.npy)"

    def __init__(self, path: Path, array: NDArray[Any]) -> None:
        if array.ndim != 3:
            raise FeatureSetError(
                f"{path}: has shape {array.shape}, and --num_steps needs (clips, steps, features). "
                f"Leave out --num_steps."
            )
        mask = _mask_path(path)
        self._path = path
        self._array = array
        self._mask = open_array(mask, kinds=BOOLEANS) if mask.exists() else None
        self.folders = {str(row): "" for row in range(len(array))}

    def place(self, clip_id: str) -> str:
        return f"{self._path}: row {clip_id}"

    def num_frames(self, clip_id: str) -> int:
        del clip_id
        return int(self._array.shape[1])

    def read(self, clip_id: str) -> Frames:
        values = self._array[int(clip_id)].astype(np.float32)
        is_valid = (
            np.ones(len(values), np.bool_) if self._mask is None else self._mask[int(clip_id)]
        )
        return Frames(values=values, is_valid=is_valid)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Clip:
    clip_id: str
    values: FloatArray
    mask: BoolArray
    seconds: FloatArray
    num_frames: int
    num_masked: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Conversion:
    """Conversion of clips to arrays of one shape, that of the first clip."""

    reader: ClipReader
    first_id: str
    first: Frames
    is_vector: bool
    num_steps: int | None
    how: ResampleMethod

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the values of one clip, (D,) or (T, D)."""
        width = self.first.values.shape[1]
        return (width,) if self.is_vector else (self.num_steps or len(self.first.values), width)

    def read(self, clip_id: str) -> _Clip:
        frames = self.reader.read(clip_id)
        is_longer = self.is_vector and len(frames.values) > 1
        if is_longer or frames.values.shape[1] != self.first.values.shape[1]:
            raise FeatureSetError(
                f"{self.reader.place(clip_id)}: has shape {frames.values.shape}, but "
                f"{self.reader.place(self.first_id)} has {self.first.values.shape}. All clips of "
                f"a stream need the same features, and either one vector or several frames."
            )
        is_valid = valid_frames(frames)
        if self.is_vector or self.num_steps is None:
            values = np.where(is_valid[:, np.newaxis], frames.values, np.float32(0))
            mask, seconds = is_valid, np.full(len(values), np.nan)
        else:
            values, mask, seconds = resample(frames, self.num_steps, self.how)
        return _Clip(
            clip_id=clip_id,
            values=np.ascontiguousarray(values, dtype=np.float32),
            mask=mask,
            seconds=seconds,
            num_frames=len(is_valid),
            num_masked=int((~is_valid).sum()),
        )


def _conversion(source: StreamSource, reader: ClipReader, ids: Sequence[str]) -> _Conversion:
    first = reader.read(ids[0])
    lengths = {reader.num_frames(clip_id) for clip_id in ids}
    keeps_steps = source.num_steps is None and len(lengths) == 1 and None not in lengths
    return _Conversion(
        reader=reader,
        first_id=ids[0],
        first=first,
        is_vector=first.is_vector or lengths == {1},
        num_steps=None if keeps_steps else source.num_steps or DEFAULT_NUM_STEPS,
        how=source.how,
    )


def _no_valid_frame(source: StreamSource, reader: ClipReader, first: Frames) -> FeatureSetError:
    missing = np.flatnonzero(~np.isfinite(first.values).any(axis=0))
    first_place = reader.place(next(iter(reader.folders)))
    if missing.size and first.columns:
        return FeatureSetError(
            f"{first_place}: has no number in the column {first.columns[missing[0]]!r}, and no clip has a complete "
            f"frame. Leave the column out with --columns {source.name}='AU*_r,gaze_*'."
        )
    return FeatureSetError(
        f"{source.path}: no clip has a valid frame. Check the columns of success, confidence and "
        f"time, such as those of {first_place}."
    )


def _open_rows(path: Path) -> StreamArrays:
    values, mask_path = open_array(path), _mask_path(path)
    return StreamArrays(
        values=values,
        mask=open_array(mask_path, kinds=BOOLEANS) if mask_path.exists() else None,
        seconds=None,
        columns=(),
        num_frames=int(np.prod(values.shape[: max(1, min(values.ndim - 1, 2))])),
        num_masked=0,
        empty_clips=(),
    )


def _mask_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}_mask.npy")


def _find_files(directory: Path) -> tuple[dict[str, Path], dict[str, str], tuple[Path, ...]]:
    """Return files and folders by clip id, and the files that are not read.

    Only files of the most frequent readable type are read. The id is the file name without its
    suffix, or the path below the directory if names are not unique.
    """
    found = list(_list_files(directory))
    times = Counter(path.suffix.lower() for path in found)
    readable = sorted((each for each in _SUFFIXES if times[each]), key=lambda each: -times[each])
    suffixes = [each for each in readable if each != ".txt"] or readable
    if not suffixes:
        pickle = next((path for path in found if path.suffix.lower() in PICKLE_SUFFIXES), None)
        if pickle is not None:
            raise pickle_error(pickle)
        kinds = ", ".join(f"{number} {each or 'without suffix'}" for each, number in times.items())
        raise FeatureSetError(
            f"{directory}: contains no feature file ({', '.join(_SUFFIXES)}); found "
            f"{kinds or 'no file'}. Correct --stream NAME=PATH."
        )
    paths = [path for path in found if path.suffix.lower() == suffixes[0]]
    is_unique = len({normalize_identifier(path.stem) for path in paths}) == len(paths)
    files: dict[str, Path] = {}
    folders: dict[str, str] = {}
    for path in paths:
        below = path.relative_to(directory).with_suffix("")
        clip_id = normalize_identifier(below.name if is_unique else below.as_posix())
        if clip_id in files:
            raise FeatureSetError(
                f"{directory}: {str(files[clip_id])!r} and {str(path)!r} give the same clip id. "
                f"Rename or remove one of them."
            )
        files[clip_id] = path
        folders[clip_id] = "" if below.parent == Path() else below.parent.as_posix()
    return files, folders, tuple(path for path in found if path.suffix.lower() != suffixes[0])


def _list_files(directory: Path) -> Iterator[Path]:
    visited = set()
    for folder, folders, names in os.walk(directory, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        real = Path(folder).resolve()
        if real in visited:  # links to folders may form a loop
            folders[:] = []
            continue
        visited.add(real)
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _in_threads(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Apply `function` on all cores. Yield the results in order, and start a few in advance.

    Most of the time is spent in pyarrow and NumPy, which release the lock of the interpreter.
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    num_cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    started: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(num_cores) as pool:
        try:
            for item in items:
                if len(started) > 2 * num_cores:
                    yield started.popleft().result()
                started.append(pool.submit(function, item))
            while started:
                yield started.popleft().result()
        finally:
            for future in started:
                future.cancel()


@contextlib.contextmanager
def _named(stream: str) -> Iterator[None]:
    """Write the name of the stream into the flags of an error."""
    try:
        yield
    except FeatureSetError as error:
        message = re.sub(r"(--(?:format|columns|stream)) NAME=", rf"\1 {stream}=", str(error))
        raise FeatureSetError(message) from error
