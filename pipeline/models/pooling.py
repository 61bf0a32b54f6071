"""Sum a stream up in one vector.

Shapes: B batch, T steps, F width.
"""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="pipeline")
class MaskedMean(keras.layers.Layer):
    """Average over the real steps; zeros where a clip has none.

    Call arguments:
        inputs: Shape (B, T, F).
        step_mask: True where a step is real, shape (B, T), or None where all are.
    """

    def call(self, inputs: Any, step_mask: Any = None) -> Any:
        """Return the means, shape (B, F)."""
        if step_mask is None:
            return ops.mean(inputs, axis=1)
        # Half precision holds no sum over thousands of steps.
        real = ops.expand_dims(ops.cast(step_mask, "float32"), -1)
        total = ops.sum(ops.cast(inputs, "float32") * real, axis=1)
        return ops.cast(total / ops.maximum(ops.sum(real, axis=1), 1), inputs.dtype)
