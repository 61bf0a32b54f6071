"""The gated multimodal unit.

Shapes: B batch, F width.
"""

from typing import Any

import keras
from keras import ops

from pipeline.models.shapes import Shape


@keras.saving.register_keras_serializable(package="pipeline")
class GatedUnit(keras.layers.Layer):
    """Decide feature by feature which of two streams to believe.

    Call arguments:
        first: Shape (B, F).
        second: Shape (B, F).

    Reference: Arevalo et al., 2017 (arXiv:1702.01992), section 3.1, the bimodal unit.
    """

    def build(self, first_shape: Shape, second_shape: Shape) -> None:
        """Create one map a stream, and the gate."""
        width = first_shape[-1]
        options = {"dtype": self.dtype_policy}
        self.first_map = keras.layers.Dense(width, activation="tanh", name="first", **options)
        self.second_map = keras.layers.Dense(width, activation="tanh", name="second", **options)
        self.gate = keras.layers.Dense(width, activation="sigmoid", name="gate", **options)
        self.first_map.build(first_shape)
        self.second_map.build(second_shape)
        self.gate.build((first_shape[0], first_shape[-1] + second_shape[-1]))

    def call(self, first: Any, second: Any) -> Any:
        """Return the fused features, shape (B, F), in [-1, 1]."""
        share = self.gate(ops.concatenate([first, second], axis=-1))
        return share * self.first_map(first) + (1 - share) * self.second_map(second)
