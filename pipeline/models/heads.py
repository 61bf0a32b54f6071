"""Output layers: from trait features to scores in [0, 1].

Shapes: B batch, C features, F fusion width, K traits.
"""

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ModelError
from pipeline.models.dropout import Dropout

MEAN_RANGE = (0.01, 0.99)
"""Range to which label means are clipped. Outside this range, the gradients are too small."""

SHARPNESS = 20.0
"""Curvature of the soft clip at 0 and 1. From 0.1 to 0.9, the soft clip is almost linear."""

LINEAR_STEP = 100.0
"""Change of the logits of `LinearSkip` per Adam update, in multiples of the learning rate."""


@dataclass(frozen=True, kw_only=True)
class LinearScores:
    """Linear function from the pooled features of the streams to scores."""

    coefficients: Mapping[str, FloatArray]
    """Stream name -> change of the scores per unit of each feature, shape (C, K)."""
    intercept: FloatArray
    """Scores of a clip whose features are all zero, shape (K,)."""


@keras.saving.register_keras_serializable(package="pipeline")
class TraitHead(keras.layers.Layer):
    """Map features to one logit per trait, with separate weights for each trait.

    Args:
        num_traits: Number of traits K.
        dropout_rate: Dropout rate of the features, in [0, 1).

    Call arguments:
        inputs: Features, shape (B, K, F); or (B, 1, F) if all traits have the same features.
    """

    def __init__(self, num_traits: int, *, dropout_rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_traits = num_traits
        self.dropout_rate = dropout_rate

    def build(self, inputs_shape: tuple[Any, ...]) -> None:
        """Create the weights, shape (K, F)."""
        options = {"dtype": self.dtype_policy}
        # The norm has no weights, because the kernel scales each feature and `TraitScores` adds a
        # bias.
        self.norm = keras.layers.LayerNormalization(
            center=False, scale=False, name="norm", **options
        )
        self.dropout = Dropout(self.dropout_rate, name="dropout", **options)
        self.norm.build(inputs_shape)
        # With small weights, the scores of a new model are close to the label mean.
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.num_traits, inputs_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )

    def set_zero(self) -> None:
        """Set the weights to zero, so that all logits are zero."""
        self.kernel.assign(np.zeros(self.kernel.shape))

    @property
    def is_zero(self) -> bool:
        """Whether all weights are zero."""
        return not np.any(np.asarray(self.kernel))

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the logits, shape (B, K)."""
        features = self.dropout(self.norm(inputs), training=training)
        return ops.sum(features * self.kernel, axis=-1)


@keras.saving.register_keras_serializable(package="pipeline")
class LinearSkip(keras.layers.Layer):
    """Linear model of the standardized inputs, one logit per trait.

    One Adam update changes each weight by about the learning rate. Without scaling, the change of
    the logits would grow with C. Therefore the kernel is multiplied by `LINEAR_STEP` / C.

    Args:
        num_traits: Number of traits K.
        is_trained: Whether training changes the weights. If False, only `set_slopes` does.

    Call arguments:
        inputs: Standardized features, shape (B, C).

    Reference: Yang et al., 2022 (arXiv:2203.03466), table 3: the Adam learning rate of output
        weights scales with 1 / fan-in.
    """

    def __init__(self, num_traits: int, *, is_trained: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_traits = num_traits
        self.is_trained = is_trained

    def build(self, inputs_shape: tuple[Any, ...]) -> None:
        """Create the weights, shape (C, K). The initial values are zero."""
        self.step = LINEAR_STEP / inputs_shape[-1]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(inputs_shape[-1], self.num_traits),
            initializer="zeros",
            trainable=self.is_trained,
        )

    def set_slopes(self, slopes: FloatArray) -> None:
        """Set the change of each logit per unit of each standardized feature, shape (C, K)."""
        self.kernel.assign(slopes / self.step)

    def call(self, inputs: Any) -> Any:
        """Return the logits, shape (B, K)."""
        return ops.matmul(inputs, self.kernel * self.step)


@keras.saving.register_keras_serializable(package="pipeline")
class StreamMixture(keras.layers.Layer):
    """Weighted mean of the logits of two or more streams, with learned weights per trait.

    Call arguments:
        inputs: Logits of each of the N streams, each of shape (B, K).
    """

    def build(self, inputs_shape: list[tuple[Any, ...]]) -> None:
        """Create the balance: shape (K,) for two streams, and (N - 1, K) for more streams.

        For two streams, the weight of the first stream is the sigmoid of the balance. For more
        streams, the weights are `softmax_shares` of the balance. With the initial value 0, all
        streams have the same weight.
        """
        num_others, num_traits = len(inputs_shape) - 1, inputs_shape[0][-1]
        shape = (num_traits,) if num_others == 1 else (num_others, num_traits)
        self.balance = self.add_weight(name="balance", shape=shape, initializer="zeros")

    def call(self, inputs: list[Any]) -> Any:
        """Return the mixed logits, shape (B, K)."""
        if len(inputs) == 2:
            share = ops.sigmoid(self.balance)
            return mix([share, 1 - share], inputs)
        return mix(softmax_shares(ops.unstack(self.balance, len(inputs) - 1)), inputs)


def softmax_shares(logits: Sequence[Any]) -> list[Any]:
    """Return the shares of N streams, in [0, 1] with the sum 1, from the logits of N - 1 streams.

    The shares are a softmax. The logit of the last stream is 0, because only differences matter.
    """
    joined = ops.stack([*logits, ops.zeros_like(logits[0])])
    return list(ops.unstack(ops.softmax(joined, axis=0), len(logits) + 1))


def mix(shares: Sequence[Any], values: Sequence[Any]) -> Any:
    """Return the sum of the values, each multiplied by its share."""
    return functools.reduce(operator.add, map(operator.mul, shares, values))


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
        num_traits = inputs_shape[0][-1]
        self.bias = self.add_weight(name="bias", shape=(num_traits,), initializer="zeros")

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
        if mean.shape != tuple(self.bias.shape):
            raise ModelError(
                f"The label mean must have one score per trait, shape {tuple(self.bias.shape)}, "
                f"but has shape {mean.shape}."
            )
        if not ((mean >= 0) & (mean <= 1)).all():  # NaN fails this check too
            raise ModelError(
                f"The label mean must be in [0, 1], but is {mean.tolist()}. "
                "Divide the labels by the largest possible score."
            )
        mean = np.clip(mean, *MEAN_RANGE)
        # The inverse of `call`.
        ends = np.expm1(SHARPNESS * mean) / -np.expm1(SHARPNESS * (mean - 1.0))
        self.bias.assign(4.0 * (np.log(ends) / SHARPNESS - 0.5))

    def shift(self, logits: FloatArray) -> None:
        """Add `logits`, shape (K,), to the bias."""
        self.bias.assign(np.asarray(self.bias) + logits)

    def scores_at_zero(self) -> FloatArray:
        """Return the scores for logits of zero, shape (K,)."""
        return np.asarray(self.call([np.zeros(self.bias.shape, np.float32)]), np.float64)

    def slope_at_zero(self) -> FloatArray:
        """Return the change of the scores per unit of logits near zero, shape (K,)."""
        position = 0.5 + 0.25 * np.asarray(self.bias, dtype=np.float64)
        at_zero = 1.0 / (1.0 + np.exp(-SHARPNESS * position))
        at_one = 1.0 / (1.0 + np.exp(-SHARPNESS * (position - 1.0)))
        return np.asarray(0.25 * (at_zero - at_one))

    def call(self, inputs: list[Any]) -> Any:
        """Return the scores, shape (B, K), in [0, 1]."""
        position = 0.5 + 0.25 * (sum(inputs) + self.bias)
        above_zero = ops.softplus(SHARPNESS * position)
        above_one = ops.softplus(SHARPNESS * (position - 1.0))
        # For large logits, a rounding error can give a score outside [0, 1].
        return ops.clip((above_zero - above_one) / SHARPNESS, 0.0, 1.0)
