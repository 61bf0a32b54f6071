"""Read the attention weights of a model for given clips."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from pipeline.core.arrays import FloatArray


class AttentionProbe:
    """A second model over the layers of the first, whose outputs are attention weights.

    It is built when it is first read: training never pays for it. A plain object rather than
    a layer, so that Keras neither tracks nor saves it with the model it looks into.

    Args:
        inputs: Inputs of the model's graph.
        weights: Attention weights in that graph, by name; may be empty.
    """

    def __init__(self, inputs: list[Any], weights: Mapping[str, Any]) -> None:
        self._inputs = inputs
        self._weights = dict(weights)
        self._model: keras.Model | None = None

    def read(self, inputs: Any, *, batch_size: int) -> dict[str, FloatArray]:
        """Return the weights by name, each of shape (N, H, queries, keys)."""
        if self._model is None:
            self._model = keras.Model(self._inputs, self._weights)
        arrays = keras.tree.map_structure(np.asarray, inputs)
        num_clips = len(keras.tree.flatten(arrays)[0])
        # `predict` builds a data set for every call, which costs a few clips more than the model.
        parts = [
            self._model.predict_on_batch(_sliced(arrays, slice(begin, begin + batch_size)))
            for begin in range(0, num_clips, batch_size)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._weights}


def _sliced(inputs: Any, clips: slice) -> Any:
    return keras.tree.map_structure(lambda array: array[clips], inputs)
