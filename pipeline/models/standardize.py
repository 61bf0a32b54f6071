"""Standardization of features, as a layer that is saved with the model.

Shapes: B batch, T steps, C features.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.core.errors import ModelError

MIN_RELATIVE_DEVIATION = 1e-6
"""Minimum ratio of standard deviation to mean. Smaller ratios are float32 rounding errors."""

MIN_DEVIATION = 1e-30
"""Minimum standard deviation. The inverse of a smaller number could overflow in float32."""

FAR = 1e4
"""Minimum distance of an outlier from the training mean, in standard deviations."""


@keras.saving.register_keras_serializable(package="pipeline")
class Standardize(keras.layers.Layer):
    """Subtract the mean of each feature and divide by its standard deviation.

    Before the call of `set_moments`, the output equals the input. The statistics are saved with
    the model, but they are not trained.

    Call arguments:
        inputs: Features, shape (B, C) or (B, T, C).
        step_mask: True for real steps, shape (B, T); or True for clips that have the stream, shape
            (B, 1), if the stream has one vector per clip. In the output, all other values are zero.
    """

    def build(self, inputs_shape: tuple[Any, ...]) -> None:
        """Create the mean and the scale, each of shape (C,)."""
        shape = (inputs_shape[-1],)
        self.mean = self.add_weight(name="mean", shape=shape, initializer="zeros", trainable=False)
        self.scale = self.add_weight(name="scale", shape=shape, initializer="ones", trainable=False)

    @property
    def is_set(self) -> bool:
        """Whether the statistics differ from their initial values."""
        return bool(np.any(np.asarray(self.mean) != 0) or np.any(np.asarray(self.scale) != 1))

    def set_moments(self, mean: FloatArray, variance: FloatArray) -> None:
        """Set the mean and the variance of each feature in the training clips, both of shape (C,).

        For a constant feature, the output is zero.

        Raises:
            ModelError: If a shape is wrong, a value is not finite, or a variance is negative.
        """
        mean = self._checked("mean", mean)
        variance = self._checked("variance", variance)
        if (variance < 0).any():
            column = int(np.argmin(variance))
            raise ModelError(
                f"{self.name}: the variance of feature {column} is {variance[column]}, "
                "but must be zero or more."
            )
        deviation = np.sqrt(variance)
        constant = deviation <= np.maximum(MIN_RELATIVE_DEVIATION * np.abs(mean), MIN_DEVIATION)
        self.mean.assign(mean)
        self.scale.assign(np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation)))

    def is_far(self, values: FloatArray, step_mask: BoolArray | None = None) -> BoolArray:
        """Return True for each clip with a value `FAR` or more standard deviations from the mean.

        `values` has shape (B, C) or (B, T, C). `step_mask` has shape (B, 1) or (B, T). Padding is
        ignored.
        """
        # If the extreme values of each feature are near the mean, all values are. This is almost
        # always true, and much faster to check.
        axes = tuple(range(values.ndim - 1))
        extremes = [np.min(values, axes, initial=np.inf), np.max(values, axes, initial=-np.inf)]
        if (self._distance(np.stack(extremes)) < FAR).all():  # False if a value is NaN
            return np.zeros(len(values), np.bool_)
        steps: BoolArray = np.asarray((self._distance(values) >= FAR).any(axis=-1))
        if steps.ndim == 1:
            steps = steps[:, None]
        return np.asarray((steps if step_mask is None else steps & step_mask).any(axis=1))

    def _distance(self, values: FloatArray) -> FloatArray:
        """Return the distance of each value to the mean of its feature, in standard deviations."""
        with np.errstate(over="ignore", invalid="ignore"):  # the distance can be infinite
            distance: FloatArray = np.abs((values - np.asarray(self.mean)) * np.asarray(self.scale))
        return distance

    def _checked(self, moment: str, values: FloatArray) -> FloatArray:
        values = np.asarray(values, dtype=np.float64)
        if values.shape != tuple(self.mean.shape):
            raise ModelError(
                f"{self.name}: {moment} has shape {values.shape}, but must have one number per "
                f"feature, shape {tuple(self.mean.shape)}."
            )
        if not np.isfinite(values).all():
            column = int(np.flatnonzero(~np.isfinite(values))[0])
            raise ModelError(
                f"{self.name}: the {moment} of feature {column} is {values[column]}. "
                "Remove the rows with NaN or infinite values."
            )
        return values

    def call(self, inputs: Any, step_mask: Any = None) -> Any:
        """Return the standardized features, in the shape of `inputs`."""
        standardized = (inputs - self.mean) * self.scale
        if step_mask is None:
            return standardized
        if len(inputs.shape) == 3:
            step_mask = ops.expand_dims(step_mask, -1)
        return ops.where(step_mask, standardized, 0.0)


def standardize_layers(network: keras.Model) -> dict[str, Standardize]:
    """Return input name -> `Standardize` layer of a model."""
    inputs = {tensor.name for tensor in getattr(network, "inputs", None) or ()}
    named = {layer.name: layer for layer in network.layers if isinstance(layer, Standardize)}
    return {name: named[f"{name}_standardize"] for name in inputs if f"{name}_standardize" in named}
