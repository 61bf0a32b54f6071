"""Batches of clips for Keras: every clip once an epoch, the last partial batch included.

Legend: N clips, B clips in a batch, T steps, D width, K traits.
"""

import math
from collections.abc import Collection
from typing import Any, Final, Literal

import numpy as np
import tensorflow as tf

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.seeds import generator
from pipeline.data.feature_set import FeatureSet
from pipeline.data.stream import Stream


class LabelledBatches:
    """The clips `rows` of a feature set, batch by batch, as a finite `tf.data.Dataset`.

    Each element is `(inputs, labels)`; the inputs are a tuple in the order static,
    dynamic, static mask, dynamic mask, the masks only where the streams have them.

    Args:
        feature_set: Where the clips come from.
        rows: Row numbers of the clips, shape (N,).
        batch_size: Clips in a batch.
        seed: Seed of the order; None keeps the order of `rows`.
        cache: `memory` holds the clips in memory; `disk` reads each batch from the
            memory-mapped files, for sets that are larger than memory.
    """

    def __init__(
        self,
        feature_set: FeatureSet,
        rows: IntArray,
        *,
        batch_size: int,
        seed: int | None = None,
        cache: Literal["memory", "disk"] = "memory",
    ) -> None:
        self.num_clips = len(rows)
        self.batch_size = batch_size
        self.num_batches = -(-self.num_clips // batch_size)
        self._seed = seed
        self._rows = np.asarray(rows, dtype=np.int64)
        self._labels = feature_set.checked_labels()[self._rows]
        self._sources = _sources(feature_set)
        # The order is a variable that the data set reads when an epoch begins, so that
        # epoch 7 has the same order whether or not the epochs before it ran here.
        self._order = tf.Variable(np.arange(self.num_clips), trainable=False)
        self._cache = cache

    def shuffle_for(self, epoch: int) -> None:
        """Draw the order of `epoch` (0-based); without a seed the order stays as it is."""
        if self._seed is not None:
            order = generator(self._seed, "shuffle", epoch=epoch).permutation(self.num_clips)
            self._order.assign(order)

    def dataset(self) -> Any:
        """Return the data set; each pass over it takes the order that is set when it begins."""
        batches = tf.data.Dataset.range(self.num_batches).map(self._indices)
        gather = self._from_memory() if self._cache == "memory" else self._from_disk
        options = tf.data.Options()
        options.deterministic = True
        return batches.map(gather).prefetch(2).with_options(options)

    def _indices(self, batch: Any) -> Any:
        begin = batch * self.batch_size
        return self._order[begin : begin + self.batch_size]

    def _from_memory(self) -> Any:
        inputs = tuple(tf.constant(source.read(self._rows)) for source in self._sources)
        labels = tf.constant(self._labels)

        def gather(indices: Any) -> Any:
            return tuple(tf.gather(array, indices) for array in inputs), tf.gather(labels, indices)

        return gather

    def _from_disk(self, indices: Any) -> Any:
        types = [tf.float32] * len(self._sources)
        arrays = tf.numpy_function(self._read, [indices], [*types, tf.float32], stateful=False)
        for array, source in zip(arrays, self._sources, strict=False):
            array.set_shape((None, *source.row_shape))
        arrays[-1].set_shape((None, self._labels.shape[1]))
        return tuple(arrays[:-1]), arrays[-1]

    def _read(self, indices: IntArray) -> list[FloatArray]:
        rows = self._rows[indices]
        return [*(source.read(rows) for source in self._sources), self._labels[indices]]


BATCH_BYTES: Final = 16 * 2**20
"""Bytes of the inputs that go through a model at once where nothing is learned from them.

What networks of pictures make of their inputs on the way takes some ten to fifty times as much
memory as the inputs do.
"""


def inference_batch_size(feature_set: FeatureSet, *, max_size: int) -> int:
    """Return how many clips may go through a model at once, at least 1.

    Args:
        feature_set: Where the clips come from; the larger its rows, the fewer of them.
        max_size: More would not be faster, or are not wanted.
    """
    streams = (feature_set.static, feature_set.dynamic)
    row_bytes = sum(4 * math.prod(stream.shape[1:]) for stream in streams)  # float32 once read
    return max(1, min(max_size, BATCH_BYTES // row_bytes))


class InferenceBatches:
    """The clips `rows` of a feature set in order, without labels, as numpy batches.

    Args:
        feature_set: Where the clips come from.
        rows: Row numbers of the clips, shape (N,).
        batch_size: Clips in a batch.
        masked: Names of streams whose mask is among the inputs even where the set has none, as
            then every step is there.
    """

    def __init__(
        self,
        feature_set: FeatureSet,
        rows: IntArray,
        *,
        batch_size: int,
        masked: Collection[str] = (),
    ) -> None:
        self._rows = rows
        self._batch_size = batch_size
        self._sources = _sources(feature_set, masked)

    def __iter__(self) -> Any:
        for begin in range(0, len(self._rows), self._batch_size):
            rows = self._rows[begin : begin + self._batch_size]
            yield tuple(source.read(rows) for source in self._sources)


class _Values:
    """The values of a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.row_shape = stream.shape[1:]

    def read(self, rows: IntArray) -> FloatArray:
        return self._stream.read(rows)


class _Mask:
    """The mask of a stream, as 0 and 1."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.row_shape = stream.shape[1:2]

    def read(self, rows: IntArray) -> FloatArray:
        return self._stream.read_mask(rows).astype(np.float32)


def _sources(feature_set: FeatureSet, masked: Collection[str] = ()) -> list[_Values | _Mask]:
    streams = (feature_set.static, feature_set.dynamic)
    values: list[_Values | _Mask] = [_Values(stream) for stream in streams]
    return values + [
        _Mask(stream) for stream in streams if stream.has_mask or stream.name in masked
    ]
