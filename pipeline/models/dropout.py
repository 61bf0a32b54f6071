"""Dropout with a rate that can change after a training step is traced."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="pipeline")
class Dropout(keras.layers.Dropout):
    """Dropout whose rate can be set to another value above 0.

    The outputs equal those of `keras.layers.Dropout`. There, the rate is a constant of the graph.

    Call arguments:
        inputs: Any shape.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(rate, **kwargs)
        # Keras saves variables that are attributes of a layer. Variables of this object are not
        # saved.
        self._hidden = _RateVariables()
        self._hidden.assign(rate)

    def set_rate(self, rate: float) -> None:
        """Set the dropout rate. Zeros stay zeros, and other rates stay in (0, 1)."""
        self.rate = rate
        self._hidden.assign(rate)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the inputs; in training, some are 0 and the others are scaled."""
        if not training or not self.rate:
            return inputs
        numbers = keras.random.uniform(
            ops.shape(inputs), dtype=inputs.dtype, seed=self.seed_generator
        )
        kept = numbers >= ops.cast(self._hidden.rate, inputs.dtype)
        return ops.where(kept, inputs * ops.cast(self._hidden.scale, inputs.dtype), 0.0)


class _RateVariables:
    def __init__(self) -> None:
        self.rate, self.scale = (
            keras.Variable(0.0, trainable=False, dtype="float32", name=name)
            for name in ("rate", "scale")
        )

    def assign(self, rate: float) -> None:
        self.rate.assign(rate)
        self.scale.assign(1.0 / (1.0 - rate))
