"""Attention layers and a feed-forward layer.

The attention layers also return the attention weights.

Shapes: B batch, S static tokens, D dynamic tokens, Q queries, T tokens or keys, F fusion width,
H heads, K traits.
"""

from typing import Any

import keras
from keras import ops

from pipeline.core.traits import NUM_TRAITS

MASKED_SCORE = -1e9
"""Attention score of a masked key; finite, so that a clip without real steps gives no NaN."""


def attend(query: Any, key: Any, value: Any, mask: Any, *, num_heads: int) -> tuple[Any, Any]:
    """Compute scaled dot-product attention and its weights.

    Args:
        query: Shape (B, Q, F), or (1, Q, F) if all clips share the queries.
        key: Shape (B, T, F).
        value: Shape (B, T, F).
        mask: True for real keys, shape (B, T); None if all keys are real.
        num_heads: Number of heads H; each head uses F / H columns.

    Returns:
        Two tensors: the attended values, shape (B, Q, F), and the attention weights, shape
        (B, H, Q, T), float32. Masked keys have weight 0. Each row of weights sums to 1. If all keys
        are masked, the sum is 0.

    Reference: Vaswani et al., 2017 (arXiv:1706.03762), eq. 1.
    """
    query, key, value = (_split_heads(x, num_heads) for x in (query, key, value))
    scores = ops.matmul(query, ops.swapaxes(key, -1, -2)) / query.shape[-1] ** 0.5
    # In half precision, rounding errors are large, so a row of weights would not sum to 1.
    scores = ops.cast(scores, "float32")
    if mask is None:
        weights = ops.softmax(scores)
    else:
        real = mask[:, None, None, :]
        weights = ops.softmax(ops.where(real, scores, MASKED_SCORE))
        weights = ops.where(real, weights, 0.0)
    attended = ops.matmul(ops.cast(weights, value.dtype), value)
    attended = ops.transpose(attended, (0, 2, 1, 3))
    return ops.reshape(attended, (-1, *attended.shape[1:2], num_heads * value.shape[3])), weights


def _split_heads(x: Any, num_heads: int) -> Any:
    """(B, T, F) -> (B, H, T, F / H)."""
    x = ops.reshape(x, (-1, x.shape[1], num_heads, x.shape[2] // num_heads))
    return ops.transpose(x, (0, 2, 1, 3))


@keras.saving.register_keras_serializable(package="pipeline")
class FeedForward(keras.layers.Layer):
    """Residual block: layer normalization, then a perceptron with two dense layers.

    Args:
        factor: Hidden width, in multiples of F.
        dropout_rate: Dropout rate of the residual branch, in [0, 1).

    Call arguments:
        inputs: Shape (B, ..., F).

    Reference: Xiong et al., 2020 (arXiv:2002.04745), pre-norm; Hendrycks and Gimpel, 2016
        (arXiv:1606.08415), GELU.
    """

    def __init__(self, factor: int, *, dropout_rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.dropout_rate = dropout_rate

    def build(self, inputs_shape: tuple[Any, ...]) -> None:  # noqa: D102
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
        """Return the new tokens, in the shape of `inputs`."""
        added = self.contract(self.expand(self.norm(inputs)))
        return inputs + self.dropout(added, training=training)


@keras.saving.register_keras_serializable(package="pipeline")
class AttentionSide(keras.layers.Layer):
    """Layers of one stream in a `CrossAttentionBlock`; for the arguments, see that class.

    Call arguments:
        tokens: Input tokens of the block, shape (B, T, F).
        attended: Values of the other stream, weighted by the attention from this stream, shape
            (B, T, F).
    """

    def __init__(self, *, feed_forward_factor: int, dropout_rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.feed_forward_factor = feed_forward_factor
        self.dropout_rate = dropout_rate

    def build(self, tokens_shape: tuple[Any, ...]) -> None:  # noqa: D102
        width = tokens_shape[-1]
        options = {"dtype": self.dtype_policy}
        self.norm = keras.layers.LayerNormalization(name="norm", **options)
        # A key bias would shift all attention scores of a query equally. Softmax cancels this.
        self.projection = keras.layers.Dense(
            3 * width, use_bias=False, name="projection", **options
        )
        self.output_map = keras.layers.Dense(width, name="output", **options)
        self.dropout = keras.layers.Dropout(self.dropout_rate, name="dropout", **options)
        self.feed_forward = FeedForward(
            self.feed_forward_factor,
            dropout_rate=self.dropout_rate,
            name="feed_forward",
            **options,
        )
        for layer in (self.norm, self.projection, self.output_map, self.feed_forward):
            layer.build(tokens_shape)

    def project(self, tokens: Any) -> list[Any]:
        """Return the queries, keys and values of the stream, each of shape (B, T, F)."""
        return ops.split(self.projection(self.norm(tokens)), 3, axis=-1)

    def call(self, tokens: Any, attended: Any, training: bool | None = None) -> Any:
        """Return the output tokens of the block, shape (B, T, F)."""
        tokens = tokens + self.dropout(self.output_map(attended), training=training)
        return self.feed_forward(tokens, training=training)


@keras.saving.register_keras_serializable(package="pipeline")
class CrossAttentionBlock(keras.layers.Layer):
    """Bidirectional cross-attention between two streams, then a feed-forward layer per stream.

    Both attention directions use the input tokens of the block; neither direction uses the result
    of the other. Thus the block is symmetric in the streams.

    Args:
        num_heads: Number of heads H, a divisor of F.
        feed_forward_factor: Hidden width of the feed-forward layers, in multiples of F.
        dropout_rate: Dropout rate of each residual branch, in [0, 1).

    Call arguments:
        static: Static tokens, shape (B, S, F).
        dynamic: Dynamic tokens, shape (B, D, F).
        static_mask: True for real static tokens, shape (B, S); None if all are real.
        dynamic_mask: True for real dynamic tokens, shape (B, D); None if all are real.

    Reference: Lu et al., 2019 (arXiv:1908.02265), co-attention; pre-norm after Xiong et al.,
        2020 (arXiv:2002.04745).
    """

    def __init__(
        self, num_heads: int, *, feed_forward_factor: int, dropout_rate: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.feed_forward_factor = feed_forward_factor
        self.dropout_rate = dropout_rate

    def build(self, static_shape: Any, dynamic_shape: Any) -> None:  # noqa: D102
        options = {
            "feed_forward_factor": self.feed_forward_factor,
            "dropout_rate": self.dropout_rate,
            "dtype": self.dtype_policy,
        }
        self.static_side = AttentionSide(name="static", **options)
        self.static_side.build(static_shape)
        self.dynamic_side = AttentionSide(name="dynamic", **options)
        self.dynamic_side.build(dynamic_shape)

    def call(
        self,
        static: Any,
        dynamic: Any,
        static_mask: Any = None,
        dynamic_mask: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, Any, Any, Any]:
        """Return tokens and attention weights.

        Returns:
            Four tensors: static tokens (B, S, F); dynamic tokens (B, D, F); weights from static
            queries to dynamic keys (B, H, S, D); weights from dynamic queries to static keys
            (B, H, D, S).
        """
        static_query, static_key, static_value = self.static_side.project(static)
        dynamic_query, dynamic_key, dynamic_value = self.dynamic_side.project(dynamic)
        from_dynamic, static_to_dynamic = attend(
            static_query, dynamic_key, dynamic_value, dynamic_mask, num_heads=self.num_heads
        )
        from_static, dynamic_to_static = attend(
            dynamic_query, static_key, static_value, static_mask, num_heads=self.num_heads
        )
        return (
            self.static_side(static, from_dynamic, training=training),
            self.dynamic_side(dynamic, from_static, training=training),
            static_to_dynamic,
            dynamic_to_static,
        )


@keras.saving.register_keras_serializable(package="pipeline")
class TraitAttention(keras.layers.Layer):
    """Attention from one learned query per trait to the tokens.

    Args:
        num_heads: Number of heads H, a divisor of F.

    Call arguments:
        tokens: Shape (B, T, F).
        token_mask: True for real tokens, shape (B, T); None if all are real.

    Reference: learned queries after Lee et al., 2019 (arXiv:1810.00825), section 3.2.
    """

    def __init__(self, num_heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def build(self, tokens_shape: tuple[Any, ...]) -> None:  # noqa: D102
        width = tokens_shape[-1]
        options = {"dtype": self.dtype_policy}
        self.queries = self.add_weight(
            name="queries",
            shape=(NUM_TRAITS, width),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
        )
        self.norm = keras.layers.LayerNormalization(name="norm", **options)
        self.key_value = keras.layers.Dense(2 * width, use_bias=False, name="key_value", **options)
        self.output_map = keras.layers.Dense(width, name="output", **options)
        for layer in (self.norm, self.key_value, self.output_map):
            layer.build(tokens_shape)

    def call(self, tokens: Any, token_mask: Any = None) -> tuple[Any, Any]:
        """Return two tensors: features per trait (B, K, F), and attention weights (B, H, K, T)."""
        key, value = ops.split(self.key_value(self.norm(tokens)), 2, axis=-1)
        attended, weights = attend(
            self.queries[None], key, value, token_mask, num_heads=self.num_heads
        )
        return self.output_map(attended), weights
