"""One feature stream of a feature set: rows of memory-mapped files, read on demand.

Shape letters: N clips of the set, n rows asked for, T steps, D width.
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
"""Memory that one chunk of a streamed pass may take, in bytes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamPart:
    """The file of one shard, memory-mapped."""

    path: Path
    """Where the values come from."""

    values: NDArray[Any]
    """Features of any real dtype, shape (N, T, D) or (N, D)."""

    mask: BoolArray | None = None
    """True where a step is valid, shape (N, T); None where every step is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """The rows of one feature stream, of one file or of several read as one.

    Nothing is held in memory: `read` fetches the rows asked for, as float32. A (N, D)
    stream holds one vector a clip and has no steps.
    """

    name: str
    """`"static"` or `"dynamic"`."""

    parts: tuple[StreamPart, ...]
    """The files in row order; their shapes agree but for the number of rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole stream, (N, T, D) or (N, D)."""
        return (int(self._ends[-1]), *self.parts[0].values.shape[1:])

    @property
    def num_steps(self) -> int | None:
        """The number of steps T, or None for a stream of vectors."""
        return self.shape[1] if len(self.shape) > 2 else None

    @property
    def picture(self) -> tuple[int, int] | None:
        """Height and width where each step is a picture, whose channels are its features."""
        return self.shape[2:4] if len(self.shape) == 5 else None

    @property
    def width(self) -> int:
        """The number of features D of one step."""
        return self.shape[-1]

    @property
    def has_mask(self) -> bool:
        """Whether a mask says which steps are valid."""
        return self.parts[0].mask is not None

    def read(self, rows: IntArray) -> FloatArray:
        """Return the features of `rows` as float32, shape (n, T, D) or (n, D).

        Args:
            rows: Row numbers in any order, repeated or not, shape (n,).

        Raises:
            IndexError: If a row number is not an integer in [0, N).
        """
        return self._gather([part.values for part in self.parts], rows, np.float32)

    def read_mask(self, rows: IntArray) -> BoolArray:
        """Return which steps of `rows` are valid, shape (n, T); (n, 1) for vectors.

        Without a mask every step is valid.

        Raises:
            IndexError: If a row number is not an integer in [0, N).
        """
        masks = [part.mask for part in self.parts if part.mask is not None]
        if masks:
            return self._gather(masks, rows, np.bool_)
        return np.ones((len(self._checked(rows)), self.num_steps or 1), dtype=np.bool_)

    def chunks(
        self, rows: IntArray | None = None, *, max_bytes: int = CHUNK_BYTES
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield `(rows, values)` until all `rows` have been read, in their order.

        Args:
            rows: Row numbers; None for all rows of the stream.
            max_bytes: Upper bound on the bytes of `values`, but for a single larger row.
        """
        wanted = np.arange(self.shape[0]) if rows is None else self._checked(rows)
        row_bytes = 4 * int(np.prod(self.shape[1:]))
        step = max(1, max_bytes // row_bytes)
        for start in range(0, len(wanted), step):
            chunk = wanted[start : start + step]
            yield chunk, self.read(chunk)

    def pooled(self, rows: IntArray) -> FloatArray:
        """Return the mean of the valid steps of each of `rows`, shape (n, D).

        Of pictures it is the mean colour. Means are taken in float64 and returned as float32;
        a stream of vectors is returned as it is.
        """
        if self.num_steps is None:
            return self.read(rows)
        means = np.empty((len(rows), self.width), dtype=np.float32)
        done = 0
        for chunk, values in self.chunks(rows):
            per_step = (*values.shape[:2], *(1,) * (values.ndim - 2))
            valid = self.read_mask(chunk).reshape(per_step) if self.has_mask else np.True_
            within = tuple(range(1, values.ndim - 1))
            means[done : done + len(chunk)] = values.mean(within, dtype=np.float64, where=valid)
            done += len(chunk)
        return means

    def locate(self, row: int) -> tuple[StreamPart, int]:
        """Return the part that holds `row` of the stream, and the row within that part."""
        owner = int(np.searchsorted(self._ends, row, side="right"))
        part = self.parts[owner]
        return part, row - int(self._ends[owner]) + len(part.values)

    @cached_property
    def _ends(self) -> IntArray:
        return np.cumsum([len(part.values) for part in self.parts])

    def _gather(self, arrays: Sequence[NDArray[Any]], rows: IntArray, dtype: type) -> NDArray[Any]:
        rows = self._checked(rows)
        # A float64 beyond float32 becomes an infinity here, which validation refuses.
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
                f"rows of the {self.name} stream are integers in [0, {self.shape[0]}), "
                f"got {rows.dtype} in [{rows.min()}, {rows.max()}]"
            )
        return rows
