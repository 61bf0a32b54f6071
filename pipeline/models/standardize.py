"""Put every feature on one scale, inside the saved model.

Shapes: B batch, T steps, D features.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.core.errors import ModelError
from pipeline.models.shapes import Shape

SMALLEST_RELATIVE_DEVIATION = 1e-6
"""A deviation this small beside the mean is the rounding of float32, not a signal."""

FAR = 1e4
"""Standard deviations from the mean beyond which a feature is of no population like this one."""

TINY = 1e-30
"""The inverse of a smaller deviation would leave the range of float32."""


@keras.saving.register_keras_serializable(package="pipeline")
class Standardize(keras.layers.Layer):
    """Subtract the mean of each feature and divide by its standard deviation.

    Until `set_moments` is called it leaves the features as they are. The statistics are
    weights, so they travel with the model, but never trainable ones.

    Call arguments:
        inputs: Features, shape (B, D) or (B, T, D).
        step_mask: True where a step is real, shape (B, T). What the others hold is replaced by
            zeros, so that padding cannot reach a prediction.
    """

    def build(self, inputs_shape: Shape) -> None:
        """Create the statistics, each of shape (D,)."""
        shape = (inputs_shape[-1],)
        self.mean = self.add_weight(name="mean", shape=shape, initializer="zeros", trainable=False)
        self.scale = self.add_weight(name="scale", shape=shape, initializer="ones", trainable=False)

    @property
    def is_set(self) -> bool:
        """Whether it holds the statistics of some rows; until then it changes nothing."""
        return bool(np.any(np.asarray(self.mean) != 0) or np.any(np.asarray(self.scale) != 1))

    def set_moments(self, mean: FloatArray, variance: FloatArray) -> None:
        """Set the statistics of the training rows.

        A feature that is constant there says nothing, so it is mapped to zero.

        Args:
            mean: Mean of each feature, shape (D,).
            variance: Variance of each feature, zero or more, shape (D,).

        Raises:
            ModelError: If a shape is wrong, a value is not finite, or a variance is negative.
        """
        mean = self._checked("mean", mean)
        variance = self._checked("variance", variance)
        if (variance < 0).any():
            column = int(np.argmin(variance))
            raise ModelError(
                f"{self.name}: the variance of feature {column} is {variance[column]}; "
                "a variance is zero or more."
            )
        deviation = np.sqrt(variance)
        constant = deviation <= np.maximum(SMALLEST_RELATIVE_DEVIATION * np.abs(mean), TINY)
        self.mean.assign(mean)
        self.scale.assign(np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation)))

    def is_far(self, values: FloatArray, step_mask: BoolArray | None = None) -> BoolArray:
        """Return which rows hold a feature that is `FAR` standard deviations off, or more.

        Args:
            values: Features, shape (B, D) or (B, T, D).
            step_mask: True where a step is real, shape (B, T); others do not count.

        Returns:
            Shape (B,).
        """
        with np.errstate(over="ignore", invalid="ignore"):  # infinitely far is far
            distance = np.abs((values - np.asarray(self.mean)) * np.asarray(self.scale))
        steps = (distance >= FAR).any(axis=-1)
        if steps.ndim == 1:
            return np.asarray(steps)
        return np.asarray((steps if step_mask is None else steps & step_mask).any(axis=1))

    def _checked(self, moment: str, values: FloatArray) -> FloatArray:
        values = np.asarray(values, dtype=np.float64)
        if values.shape != tuple(self.mean.shape):
            raise ModelError(
                f"{self.name}: {moment} has shape {values.shape}, "
                f"expected one number a feature, shape {tuple(self.mean.shape)}."
            )
        if not np.isfinite(values).all():
            column = int(np.flatnonzero(~np.isfinite(values))[0])
            raise ModelError(
                f"{self.name}: the {moment} of feature {column} is {values[column]}; "
                "drop the rows that are not finite first."
            )
        return values

    def call(self, inputs: Any, step_mask: Any = None) -> Any:
        """Return the standardized features, in the shape of `inputs`."""
        standardized = (inputs - self.mean) * self.scale
        if step_mask is None:
            return standardized
        return ops.where(ops.expand_dims(step_mask, -1), standardized, 0.0)


def standardize_layers(network: keras.Model) -> dict[str, Standardize]:
    """Return the layers that put the inputs of a model on one scale, by the name of the input."""
    inputs = {tensor.name for tensor in getattr(network, "inputs", None) or ()}
    named = {layer.name: layer for layer in network.layers if isinstance(layer, Standardize)}
    return {name: named[f"{name}_standardize"] for name in inputs if f"{name}_standardize" in named}
