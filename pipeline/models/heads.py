"""From trait features to scores in [0, 1].

Shapes: B batch, C features, F fusion width, K traits.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ModelError
from pipeline.core.traits import NUM_TRAITS
from pipeline.models.shapes import Shape

MEAN_RANGE = (0.01, 0.99)
"""Label means are clipped to it: beyond, the soft clip is too flat to learn from."""

SHARPNESS = 20.0
"""How abruptly the soft clip bends at 0 and 1; between 0.1 and 0.9 it is a straight line."""

LINEAR_STEP = 100.0
"""How far a step of Adam moves the logits of the linear skip, in learning rates."""


@keras.saving.register_keras_serializable(package="pipeline")
class TraitHead(keras.layers.Layer):
    """Turn features into one logit a trait, with weights of its own for each trait.

    Args:
        dropout_rate: Share of the features that is dropped, in [0, 1).

    Call arguments:
        inputs: Features of each trait, shape (B, K, F), or features that all traits share,
            shape (B, 1, F).
    """

    def __init__(self, *, dropout_rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dropout_rate = dropout_rate

    def build(self, inputs_shape: Shape) -> None:
        """Create the weights, shape (K, F)."""
        options = {"dtype": self.dtype_policy}
        # The kernel scales each feature and `TraitScores` shifts each trait.
        self.norm = keras.layers.LayerNormalization(
            center=False, scale=False, name="norm", **options
        )
        self.dropout = keras.layers.Dropout(self.dropout_rate, name="dropout", **options)
        self.norm.build(inputs_shape)
        # Small, so that a new model starts close to the mean of the labels.
        self.kernel = self.add_weight(
            name="kernel",
            shape=(NUM_TRAITS, inputs_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the logits, shape (B, K)."""
        features = self.dropout(self.norm(inputs), training=training)
        return ops.sum(features * self.kernel, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "dropout_rate": self.dropout_rate}


@keras.saving.register_keras_serializable(package="pipeline")
class LinearSkip(keras.layers.Layer):
    """A linear model of the standardized inputs, one logit a trait.

    Adam moves every weight by about the learning rate, so the logits of few inputs would move
    far slower than those of many, and slower than the rest of the network fits their residual.
    The kernel is therefore scaled by `LINEAR_STEP` / C.

    Call arguments:
        inputs: Standardized features, shape (B, C).

    Reference: Yang et al., 2022 (arXiv:2203.03466), table 3: step sizes of Adam for output
        weights go with 1 / fan-in.
    """

    def build(self, inputs_shape: Shape) -> None:
        """Create the weights, shape (C, K); from zero, so as not to start against the rest."""
        self.step = LINEAR_STEP / inputs_shape[-1]
        self.kernel = self.add_weight(
            name="kernel", shape=(inputs_shape[-1], NUM_TRAITS), initializer="zeros"
        )

    def call(self, inputs: Any) -> Any:
        """Return the logits, shape (B, K)."""
        return ops.matmul(inputs, self.kernel * self.step)


@keras.saving.register_keras_serializable(package="pipeline")
class StreamMixture(keras.layers.Layer):
    """Weigh the logits of two streams against each other, anew for each trait.

    Call arguments:
        first: Logits of one stream, shape (B, K).
        second: Logits of the other, shape (B, K).
    """

    def build(self, first_shape: Shape, second_shape: Shape) -> None:
        """Create the balance of each trait, shape (K,); 0 trusts both streams alike."""
        self.balance = self.add_weight(name="balance", shape=(NUM_TRAITS,), initializer="zeros")

    def call(self, first: Any, second: Any) -> Any:
        """Return the mixed logits, shape (B, K)."""
        share = ops.sigmoid(self.balance)
        return share * first + (1 - share) * second


@keras.saving.register_keras_serializable(package="pipeline")
class TraitScores(keras.layers.Layer):
    """Add up logits and the bias of each trait, and bend the sum into [0, 1].

    Annotated scores are close to linear in good features, and few are near 0 or 1. A sigmoid
    bends everywhere, which costs accuracy; the soft clip only bends at the ends, and still
    has a slope there. A logit moves a score by 1/4, as in the middle of a sigmoid.

    Call arguments:
        inputs: Logits, each of shape (B, K).

    Reference: Klimek & Perelstein, 2020 (arXiv:1810.11509), "soft clipping".
    """

    def build(self, inputs_shape: list[Shape]) -> None:
        """Create the bias of each trait, shape (K,)."""
        self.bias = self.add_weight(name="bias", shape=(NUM_TRAITS,), initializer="zeros")

    @property
    def is_set(self) -> bool:
        """Whether a mean of labels, or what was learned since, is in the bias."""
        return bool(np.any(np.asarray(self.bias) != 0))

    def set_label_mean(self, mean: FloatArray) -> None:
        """Let a model whose logits are zero predict the mean of the labels.

        Args:
            mean: Mean training score of each trait, shape (K,), in [0, 1].

        Raises:
            ModelError: If the shape is wrong or a value is outside [0, 1].
        """
        mean = np.asarray(mean, dtype=np.float64)
        if mean.shape != (NUM_TRAITS,):
            raise ModelError(
                f"The label mean has shape {mean.shape}, expected one score a trait, "
                f"shape ({NUM_TRAITS},)."
            )
        if not ((mean >= 0) & (mean <= 1)).all():  # also refuses NaN
            raise ModelError(
                f"The label mean is {mean.tolist()}; expected scores in [0, 1]. "
                "Divide the labels by the top of their scale."
            )
        mean = np.clip(mean, *MEAN_RANGE)
        ends = np.expm1(SHARPNESS * mean) / -np.expm1(SHARPNESS * (mean - 1.0))
        self.bias.assign(4.0 * (np.log(ends) / SHARPNESS - 0.5))

    def call(self, inputs: list[Any]) -> Any:
        """Return the scores, shape (B, K), in [0, 1]."""
        position = 0.5 + 0.25 * (sum(inputs) + self.bias)
        above_zero = ops.softplus(SHARPNESS * position)
        above_one = ops.softplus(SHARPNESS * (position - 1.0))
        # Rounding of large numbers must not lead out of the range.
        return ops.clip((above_zero - above_one) / SHARPNESS, 0.0, 1.0)
