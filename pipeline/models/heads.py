"""Output layers: from trait features to scores in [0, 1].

Shapes: B batch, C features, F fusion width, K traits.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ModelError
from pipeline.core.traits import NUM_TRAITS

MEAN_RANGE = (0.01, 0.99)
"""Range to which label means are clipped. Outside this range, the gradients are too small."""

SHARPNESS = 20.0
"""Curvature of the soft clip at 0 and 1. From 0.1 to 0.9, the soft clip is almost linear."""

LINEAR_STEP = 100.0
"""Change of the logits of `LinearSkip` per Adam update, in multiples of the learning rate."""


@keras.saving.register_keras_serializable(package="pipeline")
class TraitHead(keras.layers.Layer):
    """Map features to one logit per trait, with separate weights for each trait.

    Args:
        dropout_rate: Dropout rate of the features, in [0, 1).

    Call arguments:
        inputs: Features, shape (B, K, F); or (B, 1, F) if all traits have the same features.
    """

    def __init__(self, *, dropout_rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dropout_rate = dropout_rate

    def build(self, inputs_shape: tuple[Any, ...]) -> None:
        """Create the weights, shape (K, F)."""
        options = {"dtype": self.dtype_policy}
        # The norm has no weights, because the kernel scales each feature and `TraitScores` adds a
        # bias.
        self.norm = keras.layers.LayerNormalization(
            center=False, scale=False, name="norm", **options
        )
        self.dropout = keras.layers.Dropout(self.dropout_rate, name="dropout", **options)
        self.norm.build(inputs_shape)
        # With small weights, the scores of a new model are close to the label mean.
        self.kernel = self.add_weight(
            name="kernel",
            shape=(NUM_TRAITS, inputs_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the logits, shape (B, K)."""
        features = self.dropout(self.norm(inputs), training=training)
        return ops.sum(features * self.kernel, axis=-1)


@keras.saving.register_keras_serializable(package="pipeline")
class LinearSkip(keras.layers.Layer):
    """Linear model of the standardized inputs, one logit per trait.

    One Adam update changes each weight by about the learning rate. Without scaling, the change of
    the logits would grow with C. Therefore the kernel is multiplied by `LINEAR_STEP` / C.

    Call arguments:
        inputs: Standardized features, shape (B, C).

    Reference: Yang et al., 2022 (arXiv:2203.03466), table 3: the Adam learning rate of output
        weights scales with 1 / fan-in.
    """

    def build(self, inputs_shape: tuple[Any, ...]) -> None:
        """Create the weights, shape (C, K). The initial values are zero."""
        self.step = LINEAR_STEP / inputs_shape[-1]
        self.kernel = self.add_weight(
            name="kernel", shape=(inputs_shape[-1], NUM_TRAITS), initializer="zeros"
        )

    def call(self, inputs: Any) -> Any:
        """Return the logits, shape (B, K)."""
        return ops.matmul(inputs, self.kernel * self.step)


@keras.saving.register_keras_serializable(package="pipeline")
class StreamMixture(keras.layers.Layer):
    """Weighted mean of the logits of two streams, with one learned weight per trait.

    Call arguments:
        first: Logits of the first stream, shape (B, K).
        second: Logits of the second stream, shape (B, K).
    """

    def build(self, first_shape: tuple[Any, ...], second_shape: tuple[Any, ...]) -> None:
        """Create one balance per trait, shape (K,): the logit of the weight of the first stream.

        With the initial value 0, both streams have the same weight.
        """
        self.balance = self.add_weight(name="balance", shape=(NUM_TRAITS,), initializer="zeros")

    def call(self, first: Any, second: Any) -> Any:
        """Return the mixed logits, shape (B, K)."""
        share = ops.sigmoid(self.balance)
        return share * first + (1 - share) * second


@keras.saving.register_keras_serializable(package="pipeline")
class TraitScores(keras.layers.Layer):
    """Add a bias per trait to the sum of the logits, and apply a soft clip to [0, 1].

    Annotated scores depend almost linearly on good features, and few scores are near 0 or 1. A
    sigmoid is less accurate, because it is curved everywhere. The soft clip is curved only near 0
    and 1, and its gradient is not zero there. In the middle, its slope is 1/4, as for a sigmoid.

    Call arguments:
        inputs: Logits, each of shape (B, K).

    Reference: Klimek & Perelstein, 2020 (arXiv:1810.11509), "soft clipping".
    """

    def build(self, inputs_shape: list[tuple[Any, ...]]) -> None:
        """Create the bias of each trait, shape (K,)."""
        self.bias = self.add_weight(name="bias", shape=(NUM_TRAITS,), initializer="zeros")

    @property
    def is_set(self) -> bool:
        """Whether the bias differs from its initial value, zero."""
        return bool(np.any(np.asarray(self.bias) != 0))

    def set_label_mean(self, mean: FloatArray) -> None:
        """Set the bias such that logits of zero give the scores `mean`, shape (K,), in [0, 1].

        Raises:
            ModelError: If the shape is wrong or a value is outside [0, 1].
        """
        mean = np.asarray(mean, dtype=np.float64)
        if mean.shape != (NUM_TRAITS,):
            raise ModelError(
                f"The label mean must have one score per trait, shape ({NUM_TRAITS},), "
                f"but has shape {mean.shape}."
            )
        if not ((mean >= 0) & (mean <= 1)).all():  # NaN fails this check too
            raise ModelError(
                f"The label mean must be in [0, 1], but is {mean.tolist()}. "
                "Divide the labels by the largest possible score."
            )
        mean = np.clip(mean, *MEAN_RANGE)
        ends = np.expm1(SHARPNESS * mean) / -np.expm1(SHARPNESS * (mean - 1.0))
        self.bias.assign(4.0 * (np.log(ends) / SHARPNESS - 0.5))

    def call(self, inputs: list[Any]) -> Any:
        """Return the scores, shape (B, K), in [0, 1]."""
        position = 0.5 + 0.25 * (sum(inputs) + self.bias)
        above_zero = ops.softplus(SHARPNESS * position)
        above_one = ops.softplus(SHARPNESS * (position - 1.0))
        # For large logits, a rounding error can give a score outside [0, 1].
        return ops.clip((above_zero - above_one) / SHARPNESS, 0.0, 1.0)
