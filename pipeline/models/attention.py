"""Attention between two streams, and from traits to tokens.

Shapes: B batch, S static tokens, D dynamic tokens, T tokens, F fusion width, H heads, K traits.
"""

from typing import Any

import keras
from keras import ops

from pipeline.core.traits import NUM_TRAITS
from pipeline.models.dot_product import attend
from pipeline.models.feed_forward import FeedForward
from pipeline.models.shapes import Shape


@keras.saving.register_keras_serializable(package="pipeline")
class AttentionSide(keras.layers.Layer):
    """What one stream owns in a block: how it asks and answers, and what it makes of the rest.

    Args:
        feed_forward_factor: Hidden width of the feed-forward layer, in multiples of F.
        dropout_rate: Share of what each residual branch adds that is dropped, in [0, 1).

    Call arguments:
        tokens: The stream before the block, shape (B, T, F).
        seen: What its queries brought back, shape (B, T, F).
    """

    def __init__(self, *, feed_forward_factor: int, dropout_rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.feed_forward_factor = feed_forward_factor
        self.dropout_rate = dropout_rate

    def build(self, tokens_shape: Shape) -> None:
        """Create the projections and the feed-forward layer."""
        width = tokens_shape[-1]
        options = {"dtype": self.dtype_policy}
        self.norm = keras.layers.LayerNormalization(name="norm", **options)
        # A bias of the keys would shift all scores of a query alike: softmax cannot see it.
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

    def call(self, tokens: Any, seen: Any, training: bool | None = None) -> Any:
        """Return the stream after the block, shape (B, T, F)."""
        tokens = tokens + self.dropout(self.output_map(seen), training=training)
        return self.feed_forward(tokens, training=training)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "feed_forward_factor": self.feed_forward_factor,
            "dropout_rate": self.dropout_rate,
        }


@keras.saving.register_keras_serializable(package="pipeline")
class CrossAttentionBlock(keras.layers.Layer):
    """Let two streams look at each other at once, then let each think about what it saw.

    Both directions read the block's input, so neither stream is favoured.

    Args:
        num_heads: Number of heads H; divides F.
        feed_forward_factor: Hidden width of the feed-forward layers, in multiples of F.
        dropout_rate: Share of what each residual branch adds that is dropped, in [0, 1).

    Call arguments:
        static: Static tokens, shape (B, S, F).
        dynamic: Dynamic tokens, shape (B, D, F).
        static_mask: True where a static token is real, shape (B, S), or None.
        dynamic_mask: True where a dynamic token is real, shape (B, D), or None.

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

    def build(self, static_shape: Shape, dynamic_shape: Shape) -> None:
        """Create the weights of the two directions."""
        self.static_side = self._build_side("static", static_shape)
        self.dynamic_side = self._build_side("dynamic", dynamic_shape)

    def _build_side(self, name: str, shape: Shape) -> "AttentionSide":
        side = AttentionSide(
            feed_forward_factor=self.feed_forward_factor,
            dropout_rate=self.dropout_rate,
            dtype=self.dtype_policy,
            name=name,
        )
        side.build(shape)
        return side

    def call(
        self,
        static: Any,
        dynamic: Any,
        static_mask: Any = None,
        dynamic_mask: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, Any, Any, Any]:
        """Return both streams and who looked where.

        Returns:
            Static tokens (B, S, F), dynamic tokens (B, D, F), the weights of static queries on
            dynamic keys (B, H, S, D), and of dynamic queries on static keys (B, H, D, S).
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

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "feed_forward_factor": self.feed_forward_factor,
            "dropout_rate": self.dropout_rate,
        }


@keras.saving.register_keras_serializable(package="pipeline")
class TraitAttention(keras.layers.Layer):
    """Let each trait look for its own evidence among the tokens.

    Args:
        num_heads: Number of heads H; divides F.

    Call arguments:
        tokens: Shape (B, T, F).
        token_mask: True where a token is real, shape (B, T), or None.

    Reference: learned queries after Lee et al., 2019 (arXiv:1810.00825), section 3.2.
    """

    def __init__(self, num_heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def build(self, tokens_shape: Shape) -> None:
        """Create one query a trait, and the maps that every trait shares."""
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
        """Return what each trait found (B, K, F), and where it looked (B, H, K, T)."""
        key, value = ops.split(self.key_value(self.norm(tokens)), 2, axis=-1)
        found, weights = attend(
            self.queries[None], key, value, token_mask, num_heads=self.num_heads
        )
        return self.output_map(found), weights

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "num_heads": self.num_heads}
