"""The features of clips, pooled over time when they are asked for."""

from dataclasses import dataclass

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.data.stream import Stream


@dataclass(frozen=True, kw_only=True, eq=False)
class PooledRows:
    """Stands for the array (n, D) that `Stream.pooled` returns, and holds none of it."""

    stream: Stream
    """Where the features are read from."""

    rows: IntArray
    """The clips, shape (n,)."""

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the whole, (n, D)."""
        return len(self.rows), self.stream.width

    def __getitem__(self, part: slice) -> FloatArray:
        """Return the pooled features of a slice of the clips, float32."""
        return self.stream.pooled(self.rows[part])
