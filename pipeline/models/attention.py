"""Attention layers and a feed-forward layer.

The attention layers also return the attention weights.

Shapes: B batch, Q queries, T tokens or keys, F fusion width, H heads, K traits.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from pipeline.models.dropout import Dropout

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
        self.dropout = Dropout(self.dropout_rate, name="dropout", **options)
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
        attended: Values of the other streams, weighted by the attention from this stream, shape
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
        self.dropout = Dropout(self.dropout_rate, name="dropout", **options)
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


def key_streams(streams: Sequence[str], query: str) -> tuple[str, ...]:
    """Return the streams to which the stream `query` attends: all others, or itself if alone."""
    return tuple(name for name in streams if name != query) or (query,)


def joint_mask(tokens: Sequence[Any], masks: Sequence[Any]) -> Any:
    """Return the mask of the joined tokens, shape (B, sum of T); None if all tokens are real.

    `masks` contains one mask (B, T), or None, for each element (B, T, F) of `tokens`.
    """
    if all(mask is None for mask in masks):
        return None
    if len(masks) == 1:
        return masks[0]
    filled = [
        ops.ones_like(values[..., 0], dtype="bool") if mask is None else mask
        for values, mask in zip(tokens, masks, strict=True)
    ]
    return ops.concatenate(filled, axis=1)


@keras.saving.register_keras_serializable(package="pipeline")
class CrossAttentionBlock(keras.layers.Layer):
    """Cross-attention between N streams, then a feed-forward layer per stream.

    Every stream queries the joined tokens of all other streams. A single stream queries its own
    tokens. Each stream has its own weights W, U, c and FFN. LN is layer normalization. Without
    dropout, the new tokens of stream a are computed from the tokens X of all streams::

        Q_a, K_a, V_a = LN(X_a) W_a
        K_others = [K_b for all b other than a], V_others = [V_b for all b other than a]
        Y_a = X_a + softmax(Q_a K_others^T / sqrt(F / H)) V_others U_a + c_a
        new X_a = Y_a + FFN_a(LN(Y_a))

    The brackets join the tokens in stream order, and the softmax is computed per head. All streams
    use the input tokens of the block, and no stream uses the new tokens of another stream. Thus
    the order of the streams has no effect. For three streams a, b and c::

        tokens a --+-- queries a --> keys, values of b and c --(+)-- FFN a --> new tokens a
                   +------------------------------------------/
        tokens b --+-- queries b --> keys, values of a and c --(+)-- FFN b --> new tokens b
                   +------------------------------------------/
        tokens c --+-- queries c --> keys, values of a and b --(+)-- FFN c --> new tokens c
                   +------------------------------------------/

    Args:
        streams: Names of the N streams.
        num_heads: Number of heads H, a divisor of F.
        feed_forward_factor: Hidden width of the feed-forward layers, in multiples of F.
        dropout_rate: Dropout rate of each residual branch, in [0, 1).

    Call arguments:
        tokens: Tokens of each stream, each of shape (B, T, F). T may differ between the streams.
        masks: For each stream, None if all tokens are real; else True for real tokens, shape
            (B, T).

    Reference: Lu et al., 2019 (arXiv:1908.02265), co-attention of two streams; pre-norm after
        Xiong et al., 2020 (arXiv:2002.04745). For N streams, Tsai et al., 2019 (arXiv:1906.00295).
        As in Tsai et al., attention is directional, from the queries of one stream to the keys and
        values of others, and the block has pre-norm and a feed-forward layer. The differences: Tsai
        et al. use one transformer per ordered pair of streams, so N(N - 1) transformers, and join
        their outputs. Here, one attention per stream covers the tokens of all other streams, so
        that the weights of all these tokens together sum to 1. In Tsai et al., every layer attends
        to the initial tokens of the other stream. Here, all streams are updated simultaneously, and
        the next block uses the new tokens. All streams share the width F.
    """

    def __init__(
        self,
        streams: Sequence[str],
        num_heads: int,
        *,
        feed_forward_factor: int,
        dropout_rate: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.streams = tuple(streams)
        self.num_heads = num_heads
        self.feed_forward_factor = feed_forward_factor
        self.dropout_rate = dropout_rate

    def side(self, stream: str) -> AttentionSide:
        """Return the layers of a stream."""
        # Keras stores weights under the attribute name. With a dict, the names would differ from
        # those in old files.
        side: AttentionSide = getattr(self, f"{stream}_side")
        return side

    def build(self, tokens_shape: Sequence[Any]) -> None:  # noqa: D102
        for stream, shape in zip(self.streams, tokens_shape, strict=True):
            side = AttentionSide(
                feed_forward_factor=self.feed_forward_factor,
                dropout_rate=self.dropout_rate,
                dtype=self.dtype_policy,
                name=stream,
            )
            setattr(self, f"{stream}_side", side)
            side.build(shape)

    def compute_output_spec(
        self,
        tokens: Sequence[Any],
        masks: Sequence[Any] | None = None,
        training: bool | None = None,
    ) -> tuple[list[Any], list[Any]]:
        """Return the symbolic outputs. Without this method, Keras traces the layer to find them."""
        del masks, training
        lengths = {name: each.shape[1] for name, each in zip(self.streams, tokens, strict=True)}
        weights = []
        for stream, num_queries in lengths.items():
            num_keys = sum(lengths[name] for name in key_streams(self.streams, stream))
            shape = (tokens[0].shape[0], self.num_heads, num_queries, num_keys)
            weights.append(keras.KerasTensor(shape, "float32"))
        return [keras.KerasTensor(each.shape, self.compute_dtype) for each in tokens], weights

    def call(
        self,
        tokens: Sequence[Any],
        masks: Sequence[Any] | None = None,
        training: bool | None = None,
    ) -> tuple[list[Any], list[Any]]:
        """Return the new tokens and the attention weights of each stream.

        Returns:
            Two lists in stream order: tokens (B, T, F), and weights from the queries of this
            stream to the tokens of its `key_streams`, shape (B, H, T, sum of their T).
        """
        masks = masks or [None] * len(tokens)
        sides = [self.side(stream) for stream in self.streams]
        projected = [side.project(each) for side, each in zip(sides, tokens, strict=True)]
        new_tokens, weights = [], []
        for number, stream in enumerate(self.streams):
            others = [self.streams.index(name) for name in key_streams(self.streams, stream)]
            attended, stream_weights = attend(
                projected[number][0],
                _join([projected[other][1] for other in others]),
                _join([projected[other][2] for other in others]),
                joint_mask([tokens[other] for other in others], [masks[other] for other in others]),
                num_heads=self.num_heads,
            )
            new_tokens.append(sides[number](tokens[number], attended, training=training))
            weights.append(stream_weights)
        return new_tokens, weights


def _join(tokens: Sequence[Any]) -> Any:
    return tokens[0] if len(tokens) == 1 else ops.concatenate(tokens, axis=1)


@keras.saving.register_keras_serializable(package="pipeline")
class TraitAttention(keras.layers.Layer):
    """Attention from one learned query per trait to the tokens.

    Args:
        num_traits: Number of traits K.
        num_heads: Number of heads H, a divisor of F.

    Call arguments:
        tokens: Shape (B, T, F).
        token_mask: True for real tokens, shape (B, T); None if all are real.

    Reference: learned queries after Lee et al., 2019 (arXiv:1810.00825), section 3.2.
    """

    def __init__(self, num_traits: int, *, num_heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_traits = num_traits
        self.num_heads = num_heads

    def build(self, tokens_shape: tuple[Any, ...]) -> None:  # noqa: D102
        width = tokens_shape[-1]
        options = {"dtype": self.dtype_policy}
        self.queries = self.add_weight(
            name="queries",
            shape=(self.num_traits, width),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
        )
        self.norm = keras.layers.LayerNormalization(name="norm", **options)
        self.key_value = keras.layers.Dense(2 * width, use_bias=False, name="key_value", **options)
        self.output_map = keras.layers.Dense(width, name="output", **options)
        for layer in (self.norm, self.key_value, self.output_map):
            layer.build(tokens_shape)

    def compute_output_spec(self, tokens: Any, token_mask: Any = None) -> tuple[Any, Any]:
        """Return the symbolic outputs. Without this method, Keras traces the layer to find them."""
        del token_mask
        num_clips, num_tokens, width = tokens.shape
        weights = (num_clips, self.num_heads, self.num_traits, num_tokens)
        features = keras.KerasTensor((num_clips, self.num_traits, width), self.compute_dtype)
        return features, keras.KerasTensor(weights, "float32")

    def call(self, tokens: Any, token_mask: Any = None) -> tuple[Any, Any]:
        """Return two tensors: features per trait (B, K, F), and attention weights (B, H, K, T)."""
        key, value = ops.split(self.key_value(self.norm(tokens)), 2, axis=-1)
        attended, weights = attend(
            self.queries[None], key, value, token_mask, num_heads=self.num_heads
        )
        return self.output_map(attended), weights
