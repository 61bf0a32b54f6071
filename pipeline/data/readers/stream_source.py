"""Read one stream from the files of another tool.

Legend: N clips, T steps, D values per step.
"""

import contextlib
import os
import re
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import rich.progress
from numpy.typing import NDArray

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.core.cores import num_usable_cores
from pipeline.core.errors import FeatureSetError
from pipeline.core.files import disk_errors_named
from pipeline.core.identifiers import normalize_identifier
from pipeline.core.near_names import did_you_mean, did_you_mean_path
from pipeline.data.array_file import BOOLEANS, check_features, open_array
from pipeline.data.frames import ClipFile, Frames
from pipeline.data.readers.array_files import (
    ARRAY_SUFFIXES,
    PICKLE_SUFFIXES,
    open_array_archive,
    open_array_folder,
    open_array_rows,
    pickle_error,
)
from pipeline.data.readers.table_clips import open_table_of_clips, open_tables
from pipeline.data.readers.table_file import TABLE_SUFFIXES
from pipeline.data.time_steps import ResampleMethod, resample, valid_frames

DEFAULT_NUM_STEPS: Final = 16
"""Number of steps T, unless all clips are arrays of the same length."""

_SUFFIXES: Final = (*ARRAY_SUFFIXES, *TABLE_SUFFIXES)

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamArrays:
    """Arrays of one stream, with a row per requested clip, and counts of the frames read."""

    values: NDArray[Any]
    """Memory map of shape (N, T, D), or (N, D) for vectors. Float32, finite, and 0 in masked steps;
    a single array of all clips is returned unchanged."""
    mask: BoolArray | None
    """True for valid steps, shape (N, T), or (N, 1) for vectors; None if all are valid."""
    seconds: FloatArray | None = None
    """Middle of each step, shape (N, T), float32; None if unknown."""
    columns: tuple[str, ...] = ()
    """Names of the D values; empty if unknown."""
    num_frames: int
    """Number of frames or vectors that were read."""
    num_masked: int = 0
    """Number of these frames or vectors without a subject, with low confidence, or with NaN."""
    empty_clips: tuple[str, ...] = ()
    """Ids of the clips without a valid frame."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamSource:
    """Files of one stream, found but not read."""

    name: str
    """Name of the stream."""
    path: Path
    """File or folder."""
    description: str
    """Format of the files, for the user."""
    clips: Mapping[str, ClipFile]
    """Clips by id, in the order of the files or rows; empty for one array that stays unchanged."""
    has_ids: bool
    """Whether the files contain clip ids. A single array contains none: its rows have the order of
    `clips.csv`."""
    unused: tuple[Path, ...]
    """Files in the folder that are not read because of their type."""
    num_steps: int | None
    """Number of steps T. If None, arrays of equal length keep their steps; other clips get 16."""
    how: ResampleMethod
    """How frames become steps."""

    @property
    def clip_ids(self) -> tuple[str, ...] | None:
        """The clip ids; None if the files contain none."""
        return tuple(self.clips) if self.has_ids else None

    @property
    def clip_folders(self) -> tuple[str, ...] | None:
        """The folder of each clip, "" if it has none; None if the files contain no clip ids."""
        return tuple(clip.folder for clip in self.clips.values()) if self.has_ids else None

    def read_all(
        self,
        clip_ids: Sequence[str | None] | None = None,
        progress: rich.progress.Progress | None = None,
        *,
        scratch_dir: Path | None = None,
    ) -> StreamArrays:
        """Read clips on all cores, in bounded memory.

        Args:
            clip_ids: Clips to read; None for all, also if the source has no ids. An id of None
                gives a row without valid steps.
            progress: Progress display, which gets a task with the name of the stream.
            scratch_dir: Directory of the temporary file of the values; None for the default of
                the system. The file has no name, and is deleted with its memory map.

        Raises:
            FeatureSetError: If a clip is unknown or cannot be read, or differs from the first in
                its columns, or no clip has a valid frame.
        """
        if not self.clips:
            return _open_array(self.path)
        ids = tuple(self.clips) if clip_ids is None else tuple(clip_ids)
        wanted = [each for each in ids if each is not None]
        unknown = next((each for each in wanted if each not in self.clips), None)
        if unknown is not None or not wanted:
            near = did_you_mean(unknown, self.clips) if unknown else ""
            raise FeatureSetError(f"{self.path}: has no clip {unknown or ''!r}.{near}")
        directory = scratch_dir or Path(tempfile.gettempdir())
        done: list[_Steps] = []
        with _named(self.name), disk_errors_named(directory / self.name):
            conversion = _plan(self, [self.clips[clip_id] for clip_id in wanted])
            task = None if progress is None else progress.add_task(self.name, total=len(ids))
            clips = (None if each is None else self.clips[each] for each in ids)
            # On a full disk, a write raises an error but a memory map ends the process (SIGBUS).
            with tempfile.TemporaryFile(dir=directory) as file:
                for steps in _in_threads(conversion.read, clips):
                    file.write(np.ascontiguousarray(steps.values, dtype=np.float32).data)
                    # A view of the values would keep all of them in memory.
                    done.append(replace(steps, values=np.empty(0)))
                    if progress is not None and task is not None:
                        progress.advance(task)
                file.flush()
                values = np.memmap(file, np.float32, "r", shape=(len(ids), *conversion.shape))
            mask = np.stack([steps.mask for steps in done])
            if not mask.any():
                raise _nothing_valid(conversion)
        seconds = np.stack([steps.seconds for steps in done]).astype(np.float32)
        return StreamArrays(
            values=values,
            mask=mask,
            seconds=seconds if np.isfinite(seconds).any() else None,
            columns=conversion.first.columns,
            num_frames=sum(steps.num_frames for steps in done),
            num_masked=sum(steps.num_masked for steps in done),
            empty_clips=tuple(
                clip_id
                for clip_id, steps in zip(ids, mask, strict=True)
                if clip_id is not None and not steps.any()
            ),
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
        columns: Shell patterns of columns, or of arrays in files with several arrays; empty for
            the default of the format.
        num_steps: Number of steps T. If None, arrays of equal length keep their steps, and other
            clips get 16 steps.
        how: `mean` over each window, or the frame `nearest` to its middle.
        id_column: Column with the clip ids of one table; empty to find it by its name.

    Raises:
        FeatureSetError: If there are no clips, or their format or columns are unknown.
    """
    if num_steps is not None and num_steps < 1:
        raise FeatureSetError(f"--num_steps is {num_steps}, expected at least 1.")
    if not path.exists():
        raise FeatureSetError(
            f"{path}: there is no such file or folder. Correct --stream {name}=PATH."
            f"{did_you_mean_path(path)}"
        )
    unused: tuple[Path, ...] = ()
    clips: Mapping[str, ClipFile] = {}
    suffix = path.suffix.lower()
    with _named(name):
        if path.is_dir():
            files, unused = _find_files(path)
            suffix = next(iter(files.values()))[1].suffix.lower()
            if suffix in ARRAY_SUFFIXES:
                description, clips = f"arrays ({suffix})", open_array_folder(files, columns)
            else:
                description, clips = open_tables(
                    files, format_name=format, patterns=columns, id_column=id_column
                )
        elif suffix == ".npy":
            description = "one array (.npy)"
            check_features(path, open_array(path))
            clips = {} if num_steps is None else open_array_rows(path)
        elif suffix in ARRAY_SUFFIXES:
            description, clips = f"arrays, one file ({suffix})", open_array_archive(path)
        elif suffix in PICKLE_SUFFIXES:
            raise pickle_error(path)
        else:
            description, clips = open_table_of_clips(
                path, format_name=format, patterns=columns, id_column=id_column
            )
    return StreamSource(
        name=name,
        path=path,
        description=description,
        clips=clips,
        has_ids=path.is_dir() or suffix != ".npy",
        unused=unused,
        num_steps=num_steps,
        how=how,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Steps:
    values: FloatArray
    mask: BoolArray
    seconds: FloatArray
    num_frames: int
    num_masked: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Conversion:
    """Conversion of clips to arrays of one shape, that of the first clip."""

    place: str
    first: Frames
    is_vector: bool
    num_steps: int | None
    how: ResampleMethod

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the values of one clip, (D,) or (T, D)."""
        num_frames, width = self.first.values.shape
        return (width,) if self.is_vector else (self.num_steps or num_frames, width)

    def read(self, clip: ClipFile | None) -> _Steps:
        if clip is None:
            num_steps = 1 if self.is_vector else self.shape[0]
            return _Steps(
                values=np.zeros(self.shape, dtype=np.float32),
                mask=np.zeros(num_steps, dtype=np.bool_),
                seconds=np.full(num_steps, np.nan),
                num_frames=0,
                num_masked=0,
            )
        frames = clip.read()
        has_steps = self.is_vector and len(frames.values) > 1
        if has_steps or frames.values.shape[1] != self.first.values.shape[1]:
            raise FeatureSetError(
                f"{clip.place}: has shape {frames.values.shape}, but {self.place} has "
                f"{self.first.values.shape}. All clips of a stream need the same features, and "
                f"either one vector or several frames. Move the odd files to another folder."
            )
        is_valid = valid_frames(frames)
        if self.is_vector or self.num_steps is None:
            values = np.where(is_valid[:, np.newaxis], frames.values, np.float32(0))
            mask, seconds = is_valid, np.full(len(values), np.nan)
        else:
            values, mask, seconds = resample(frames, self.num_steps, self.how)
        return _Steps(
            values=values,
            mask=mask,
            seconds=seconds,
            num_frames=len(is_valid),
            num_masked=int((~is_valid).sum()),
        )


def _plan(source: StreamSource, clips: Sequence[ClipFile]) -> _Conversion:
    first = clips[0].read()
    lengths = {clip.num_frames() if clip.num_frames else None for clip in clips}
    keeps_steps = source.num_steps is None and len(lengths) == 1 and None not in lengths
    return _Conversion(
        place=clips[0].place,
        first=first,
        is_vector=first.is_vector or lengths == {1},
        num_steps=None if keeps_steps else source.num_steps or DEFAULT_NUM_STEPS,
        how=source.how,
    )


def _nothing_valid(conversion: _Conversion) -> FeatureSetError:
    first = conversion.first
    missing = np.flatnonzero(~np.isfinite(first.values).any(axis=0))
    if missing.size and first.columns:
        reason = f"the column {first.columns[missing[0]]!r} has no number"
    else:
        reason = "look at its columns of success, confidence and time"
    return FeatureSetError(
        f"{conversion.place}: has no valid frame ({reason}), and neither has any other clip. "
        f"Choose other columns with --columns NAME='AU*_r,gaze_*'."
    )


def _open_array(path: Path) -> StreamArrays:
    values = open_array(path)
    mask = path.with_name(f"{path.stem}_mask.npy")
    return StreamArrays(
        values=values,
        mask=open_array(mask, kinds=BOOLEANS) if mask.exists() else None,
        num_frames=int(np.prod(values.shape[: 1 if values.ndim == 2 else 2])),
    )


def _find_files(directory: Path) -> tuple[dict[str, tuple[str, Path]], tuple[Path, ...]]:
    """Return folder and file by clip id, and the files that are not read.

    Only files of the most frequent readable type are read. The id is the file name without its
    suffix, or the path below the directory if names are not unique.
    """
    found = list(_list_files(directory))
    times = Counter(path.suffix.lower() for path in found)
    readable = sorted((each for each in _SUFFIXES if times[each]), key=lambda each: -times[each])
    # OpenFace writes a `.txt` with details beside each table.
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
    chosen = [path for path in found if path.suffix.lower() == suffixes[0]]
    is_unique = len({normalize_identifier(path.stem) for path in chosen}) == len(chosen)
    files: dict[str, tuple[str, Path]] = {}
    for path in chosen:
        below = path.relative_to(directory).with_suffix("")
        clip_id = normalize_identifier(below.name if is_unique else below.as_posix())
        if clip_id in files:
            raise FeatureSetError(
                f"{directory}: {str(files[clip_id][1])!r} and {str(path)!r} give the same clip id. "
                f"Rename or remove one of them."
            )
        files[clip_id] = ("" if below.parent == Path() else below.parent.as_posix(), path)
    return files, tuple(path for path in found if path.suffix.lower() != suffixes[0])


def _list_files(directory: Path) -> Iterator[Path]:
    visited = set()
    for folder, folders, names in os.walk(directory, followlinks=True):
        real = Path(folder).resolve()
        is_new = real not in visited  # links to folders may form a loop
        folders[:] = sorted(name for name in folders if is_new and not name.startswith("."))
        visited.add(real)
        if is_new:
            yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _in_threads(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Apply `function` on all cores, and yield the results in order. A few calls start in advance.

    Most of the time is spent in pyarrow and NumPy, which release the global interpreter lock.
    """
    num_cores = num_usable_cores()
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
    """Replace `NAME` by the name of the stream in the options that an error message suggests."""
    try:
        yield
    except FeatureSetError as error:
        message = re.sub(r"(--(?:format|columns|stream)) NAME=", rf"\1 {stream}=", str(error))
        raise FeatureSetError(message) from error
