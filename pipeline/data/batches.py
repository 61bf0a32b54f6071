"""Batches of clips for Keras.

An epoch contains each clip once. The last batch may be smaller than the other batches.

Legend: N clips, B clips per batch, T steps, D width, K traits.
"""

import functools
import math
from collections.abc import Collection, Iterator
from typing import Any, Final, Literal

import numpy as np
import tensorflow as tf

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.seeds import generator
from pipeline.data.feature_set import FeatureSet

BATCH_BYTES: Final = 16 * 2**20
"""Maximum size of the inputs of an inference batch, in bytes.

In networks for images, the activations need about 10 to 50 times the memory of the inputs.
"""


_CHUNK_BYTES: Final = 64 * 2**20
"""Maximum size of the inputs that are copied into memory at once, in bytes."""


class LabelledBatches:
    """Batches with labels, for training and validation, as an endless `tf.data.Dataset`.

    Each element is `(inputs, labels)`. The inputs are a tuple of the features of each stream, and
    the masks if they exist. `num_batches` elements are one epoch. `seed` is the shuffle seed; None
    keeps the order of `rows`. If `cache` is `disk`, each batch is read from the files. Use this
    value for feature sets that are larger than the memory.
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
        self.trait_names = feature_set.trait_names
        self.batch_size = batch_size
        self.num_batches = -(-self.num_clips // batch_size)
        self._seed = seed
        self._rows = np.asarray(rows, dtype=np.int64)
        self.labels = feature_set.checked_labels()[self._rows]
        self.groups = feature_set.groups[self._rows]
        self._inputs = _Inputs(feature_set)
        self._cache = cache

    def dataset(self, *, first_epoch: int = 0) -> Any:
        """Return the endless data set, which begins with an epoch, counted from 0.

        The order of the clips depends only on the seed and the epoch.
        """
        # A data set of one epoch would need a new iterator per epoch. Creating an iterator takes
        # about as long as ten training steps of a small model.
        numbers = tf.data.Dataset.counter(start=first_epoch * self.num_batches)
        gather = self._from_memory() if self._cache == "memory" else self._from_disk
        options = tf.data.Options()
        options.deterministic = True
        # Nothing is tuned here. The thread that tunes would delay the end of a fit by seconds:
        # the deletion of an iterator waits until this thread wakes up.
        options.autotune.enabled = False
        return numbers.map(self._indices).map(gather).prefetch(2).with_options(options)

    def _indices(self, number: Any) -> Any:
        indices = tf.numpy_function(self._positions, [number], tf.int64, stateful=False)
        return tf.ensure_shape(indices, (None,))

    def _positions(self, number: int) -> IntArray:
        """Return the positions in `rows` of the clips of a batch, counted from the first epoch."""
        epoch, batch = divmod(int(number), self.num_batches)
        begin = batch * self.batch_size
        end = min(begin + self.batch_size, self.num_clips)
        if self._seed is None:
            return np.arange(begin, end)
        return _shuffled(self._seed, epoch, self.num_clips)[begin:end]

    def _from_memory(self) -> Any:
        arrays = self._inputs.load(self._rows)
        labels = tf.constant(self.labels)

        def gather(indices: Any) -> Any:
            return tuple(tf.gather(array, indices) for array in arrays), tf.gather(labels, indices)

        return gather

    def _from_disk(self, indices: Any) -> Any:
        row_shapes = [*self._inputs.row_shapes, self.labels.shape[1:]]
        types = [tf.float32] * len(row_shapes)
        arrays = tf.numpy_function(self._read, [indices], types, stateful=False)
        for array, row_shape in zip(arrays, row_shapes, strict=True):
            array.set_shape((None, *row_shape))
        return tuple(arrays[:-1]), arrays[-1]

    def _read(self, indices: IntArray) -> list[FloatArray]:
        return [*self._inputs.read(self._rows[indices]), self.labels[indices]]


@functools.lru_cache(maxsize=4)
def _shuffled(seed: int, epoch: int, num_clips: int) -> IntArray:
    return generator(seed, "shuffle", epoch=epoch).permutation(num_clips)


def inference_batches(
    feature_set: FeatureSet, rows: IntArray, *, batch_size: int, masked: Collection[str] = ()
) -> Iterator[tuple[FloatArray, ...]]:
    """Yield batches without labels, in the order of `rows`, as tuples of NumPy arrays.

    A batch contains a mask for each stream in `masked`. If the feature set has no mask for such a
    stream, all steps of the stream are valid.
    """
    inputs = _Inputs(feature_set, masked)
    for begin in range(0, len(rows), batch_size):
        yield inputs.read(rows[begin : begin + batch_size])


def inference_batch_size(feature_set: FeatureSet, *, max_size: int) -> int:
    """Return a batch size in [1, `max_size`] that limits the memory of the inputs."""
    streams = feature_set.streams.values()
    row_bytes = sum(4 * math.prod(stream.shape[1:]) for stream in streams)  # float32
    return max(1, min(max_size, BATCH_BYTES // row_bytes))


class _Inputs:
    """Inputs of a model: the values of each stream, then the masks as numbers 0 and 1."""

    def __init__(self, feature_set: FeatureSet, masked: Collection[str] = ()) -> None:
        self._streams = tuple(feature_set.streams.values())
        self._masked = [each for each in self._streams if each.has_mask or each.name in masked]
        self.row_shapes = [
            *(stream.shape[1:] for stream in self._streams),
            *(stream.mask_shape for stream in self._masked),
        ]

    def read(self, rows: IntArray) -> tuple[FloatArray, ...]:
        values = (stream.read(rows) for stream in self._streams)
        masks = (stream.read_mask(rows).astype(np.float32) for stream in self._masked)
        return (*values, *masks)

    def load(self, rows: IntArray) -> tuple[Any, ...]:
        """Return the inputs of `rows` as `tf.Variable` objects in the memory of the CPU.

        The variables are filled in chunks. The conversion of a whole array would need three times
        its memory, and a data set of constants copies them for each iterator.
        """
        with tf.device("CPU:0"):
            loaded = tuple(
                tf.Variable(tf.zeros((len(rows), *shape)), trainable=False)
                for shape in self.row_shapes
            )
            size = max(1, _CHUNK_BYTES // (4 * sum(map(math.prod, self.row_shapes))))
            for begin in range(0, len(rows), size):
                arrays = self.read(rows[begin : begin + size])
                for variable, array in zip(loaded, arrays, strict=True):
                    variable[begin : begin + size].assign(array)
        return loaded
