"""A feature stream in memory-mapped files, and the mean and variance of its features.

Legend: N clips of the stream, n selected rows, T steps, D features, H x W pixels of an image.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.core.arrays import BoolArray, FloatArray, IntArray

CHUNK_BYTES: Final = 64 * 2**20
"""Maximum size of a chunk, in bytes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamPart:
    """Memory-mapped features of one shard, and their mask."""

    path: Path
    values: NDArray[Any]
    """Features of any real dtype, shape (N, T, D), (N, D) or (N, T, H, W, D)."""
    mask: BoolArray | None = None
    """True for valid steps, shape (N, T), or (N, 1) for vectors; None if all are valid."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """One feature stream in one or more files.

    The features stay on disk. `read` returns selected rows as float32.
    """

    name: str
    """Name of the stream, e.g. `static`."""
    parts: tuple[StreamPart, ...]
    """Parts, one per file, in the order of the rows.

    The shapes of the parts differ only in the number of rows.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole stream, (N, T, D), (N, D) or (N, T, H, W, D)."""
        return (int(self._ends[-1]), *self.parts[0].values.shape[1:])

    @property
    def num_steps(self) -> int | None:
        """The number of steps T; None if each clip has one vector."""
        return self.shape[1] if len(self.shape) > 2 else None

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width of the images in pixels; None if the steps are not images."""
        return self.shape[2:4] if len(self.shape) == 5 else None

    @property
    def width(self) -> int:
        """The number D of features per step, or of channels per pixel."""
        return self.shape[-1]

    @property
    def has_mask(self) -> bool:
        """Whether the stream has a mask of valid steps."""
        return self.parts[0].mask is not None

    @property
    def mask_shape(self) -> tuple[int]:
        """The shape of the mask of one clip, (T,), or (1,) if each clip has one vector."""
        return (self.num_steps or 1,)

    @cached_property
    def is_absent(self) -> BoolArray:
        """True for the clips without a valid step, which lack the stream, shape (N,)."""
        masks = [part.mask for part in self.parts if part.mask is not None]
        if not masks:
            return np.zeros(self.shape[0], dtype=np.bool_)
        return np.concatenate([~mask.any(axis=1) for mask in masks])

    @property
    def can_be_absent(self) -> bool:
        """Whether a clip lacks the stream."""
        return bool(self.is_absent.any())

    def read(self, rows: IntArray) -> FloatArray:
        """Return the features of `rows` as float32, shape (n, T, D), (n, D) or (n, T, H, W, D).

        The row numbers may be in any order, and a number may occur more than once.

        Raises:
            IndexError: If a row number is not an integer in [0, N).
        """
        return self._gather([part.values for part in self.parts], rows, np.float32)

    def read_mask(self, rows: IntArray) -> BoolArray:
        """Return the mask of `rows`, which is True for valid steps.

        The shape is (n, T), or (n, 1) if each clip has one vector.

        Raises:
            IndexError: If a row number is not an integer in [0, N).
        """
        masks = [part.mask for part in self.parts if part.mask is not None]
        if masks:
            return self._gather(masks, rows, np.bool_)
        return np.ones((len(self._checked(rows)), self.num_steps or 1), dtype=np.bool_)

    def valid_values(self, rows: IntArray, values: FloatArray) -> FloatArray:
        """Return the valid steps of `values`, the features of `rows`, shape (M, D).

        M is the number of valid steps, times the number of pixels of an image.
        """
        if self.has_mask:
            mask = self.read_mask(rows)
            values = values[mask if self.num_steps else mask[:, 0]]
        return values.reshape(-1, self.width)

    def chunks(
        self, rows: IntArray | None = None, *, max_bytes: int = CHUNK_BYTES
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield the row numbers and the features of consecutive chunks of `rows`.

        If `rows` is None, all rows are read. The features of a chunk have at most `max_bytes`
        bytes, unless a single row is larger. They can be a read-only view of the file.
        """
        selected = np.arange(self.shape[0]) if rows is None else self._checked(rows)
        row_bytes = 4 * int(np.prod(self.shape[1:]))
        step = max(1, max_bytes // row_bytes)
        for start in range(0, len(selected), step):
            chunk = selected[start : start + step]
            if rows is None and len(self.parts) == 1:
                # A slice of a memory-mapped array is not copied.
                part = self.parts[0].values[start : start + step]
                with np.errstate(over="ignore"):
                    yield chunk, np.asarray(part).astype(np.float32, copy=False)
            else:
                yield chunk, self.read(chunk)

    def pool(self, rows: IntArray) -> FloatArray:
        """Return the mean across the valid steps of each row, shape (n, D), float32.

        Images are also averaged across pixels. Means are computed in float64. If the stream has
        one vector per clip, the vectors are returned unchanged. If a clip lacks the stream, the
        means are NaN.
        """
        if self.num_steps is None:
            vectors = self.read(rows)
            vectors[self.is_absent[self._checked(rows)]] = np.nan
            return vectors
        means = np.empty((len(rows), self.width), dtype=np.float32)
        done = 0
        for chunk, values in self.chunks(rows):
            per_step = (*values.shape[:2], *(1,) * (values.ndim - 2))
            absent = self.is_absent[chunk]
            mask = self.read_mask(chunk) | absent[:, np.newaxis]  # a mean needs a value
            valid = mask.reshape(per_step) if self.has_mask else np.True_
            axes, part = tuple(range(1, values.ndim - 1)), means[done : done + len(chunk)]
            part[:] = values.mean(axes, dtype=np.float64, where=valid)
            part[absent] = np.nan
            done += len(chunk)
        return means

    def locate(self, row: int) -> tuple[StreamPart, int]:
        """Return the part that contains `row`, and the row number in this part."""
        owner = int(np.searchsorted(self._ends, row, side="right"))
        part = self.parts[owner]
        return part, row - int(self._ends[owner]) + len(part.values)

    @cached_property
    def _ends(self) -> IntArray:
        return np.cumsum([len(part.values) for part in self.parts])

    def _gather(self, arrays: Sequence[NDArray[Any]], rows: IntArray, dtype: type) -> NDArray[Any]:
        rows = self._checked(rows)
        # Values that are too large for float32 become infinite. `finite_chunks` rejects them.
        with np.errstate(over="ignore"):
            if len(arrays) == 1:
                return arrays[0][rows].astype(dtype, copy=False)
            gathered = np.empty((len(rows), *arrays[0].shape[1:]), dtype)
            owners = np.searchsorted(self._ends, rows, side="right")
            for owner in np.unique(owners):
                chosen = np.flatnonzero(owners == owner)
                start = self._ends[owner] - len(arrays[owner])
                gathered[chosen] = arrays[owner][rows[chosen] - start]
            return gathered

    def _checked(self, rows: IntArray) -> IntArray:
        rows = np.asarray(rows)
        if rows.size == 0:
            return rows.astype(np.intp)
        if rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= self.shape[0]:
            raise IndexError(
                f"rows of the {self.name} stream must be integers in [0, {self.shape[0]}), "
                f"but are {rows.dtype} in [{rows.min()}, {rows.max()}]"
            )
        return rows


@dataclass(frozen=True, kw_only=True, eq=False)
class PooledFeatures:
    """Array (n, D) of features, averaged across steps. A slice is computed when it is accessed."""

    stream: Stream
    rows: IntArray
    """Row numbers of the clips, shape (n,)."""

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (n, D)."""
        return len(self.rows), self.stream.width

    def __getitem__(self, part: slice) -> FloatArray:
        """Return the pooled features of a slice of the clips, float32."""
        return self.stream.pool(self.rows[part])


def feature_moments(stream: Stream, rows: IntArray) -> tuple[FloatArray, FloatArray]:
    """Compute the mean and population variance of each feature across the valid steps of `rows`.

    Because the stream is read in chunks, it may be larger than the memory. Without a valid step,
    the moments are 0.

    Returns:
        Two arrays of shape (D,), float64.

    Reference: Chan, Golub & LeVeque, 1983 (doi:10.1080/00031305.1983.10483115), eq. 2.1.
    """
    count = 0
    mean = np.zeros(stream.width)
    squares = np.zeros(stream.width)
    for chunk_rows, values in stream.chunks(rows):
        valid = stream.valid_values(chunk_rows, values).astype(np.float64)
        if not len(valid):
            continue
        chunk_mean = valid.mean(axis=0)
        delta = chunk_mean - mean
        total = count + len(valid)
        squares += ((valid - chunk_mean) ** 2).sum(axis=0)
        squares += delta**2 * count * len(valid) / total
        mean += delta * len(valid) / total
        count = total
    return mean, squares / max(count, 1)
