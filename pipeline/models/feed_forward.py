"""The two-layer perceptron that follows every attention.

Shapes: B batch, T tokens, F width.
"""

from typing import Any

import keras

from pipeline.models.shapes import Shape


@keras.saving.register_keras_serializable(package="pipeline")
class FeedForward(keras.layers.Layer):
    """Add to each token what a two-layer perceptron makes of it (pre-norm, residual).

    Args:
        factor: Hidden width, in multiples of F.
        dropout_rate: Share of what is added that is dropped, in [0, 1).

    Call arguments:
        inputs: Shape (B, ..., F).

    Reference: Xiong et al., 2020 (arXiv:2002.04745), pre-norm; Hendrycks and Gimpel, 2016
        (arXiv:1606.08415), GELU.
    """

    def __init__(self, factor: int, *, dropout_rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.dropout_rate = dropout_rate

    def build(self, inputs_shape: Shape) -> None:
        """Create both layers of the perceptron."""
        width = inputs_shape[-1]
        hidden_shape = (*inputs_shape[:-1], self.factor * width)
        options = {"dtype": self.dtype_policy}
        self.norm = keras.layers.LayerNormalization(name="norm", **options)
        self.expand = keras.layers.Dense(
            self.factor * width, activation="gelu", name="expand", **options
        )
        self.contract = keras.layers.Dense(width, name="contract", **options)
        self.dropout = keras.layers.Dropout(self.dropout_rate, name="dropout", **options)
        self.norm.build(inputs_shape)
        self.expand.build(inputs_shape)
        self.contract.build(hidden_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the tokens, in the shape of `inputs`."""
        added = self.contract(self.expand(self.norm(inputs)))
        return inputs + self.dropout(added, training=training)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "factor": self.factor,
            "dropout_rate": self.dropout_rate,
        }
