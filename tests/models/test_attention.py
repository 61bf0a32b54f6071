import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.seeds import generator
from pipeline.models.attention import CrossAttentionBlock, FeedForward, TraitAttention, attend
from tests.models.layer_checks import check_layer

BLOCK = {"num_heads": 2, "feed_forward_factor": 2, "dropout_rate": 0.25}
INPUTS = np.array([[[1.0, -2.0, 0.5]], [[0.0, 4.0, -1.0]]], dtype="float32")


def tokens(name, num_tokens):
    return generator(0, name).normal(size=(3, num_tokens, 8)).astype("float32")


@pytest.mark.parametrize(
    ("layer_class", "arguments", "inputs", "output_shape", "num_trainable"),
    [
        (
            CrossAttentionBlock,
            BLOCK,
            {
                "static": tokens("static", 4),
                "dynamic": tokens("dynamic", 5),
                "static_mask": np.ones((3, 4), dtype=bool),
                "dynamic_mask": np.ones((3, 5), dtype=bool),
            },
            ((3, 4, 8), (3, 5, 8), (3, 2, 4, 5), (3, 2, 5, 4)),
            22,
        ),
        (
            TraitAttention,
            {"num_heads": 4},
            {"tokens": tokens("static", 6), "token_mask": np.ones((3, 6), dtype=bool)},
            ((3, 5, 8), (3, 4, 5, 6)),
            6,
        ),
        (FeedForward, {"factor": 2, "dropout_rate": 0.1}, {"inputs": INPUTS}, (2, 1, 3), 6),
    ],
)
def test_layers_can_be_configured_trained_and_saved(
    layer_class, arguments, inputs, output_shape, num_trainable, tmp_path
):
    shapes_and_counts = {"output_shape": output_shape, "num_trainable": num_trainable}
    check_layer(layer_class, arguments, inputs, **shapes_and_counts, tmp_path=tmp_path)


def test_both_directions_use_the_input_of_the_block():
    block = CrossAttentionBlock(**BLOCK)
    static, dynamic = tokens("static", 4), tokens("dynamic", 4)
    block(static, dynamic)
    block.dynamic_side.set_weights(block.static_side.get_weights())
    first, second, *_ = block(static, dynamic)
    second_swapped, first_swapped, *_ = block(dynamic, static)
    np.testing.assert_allclose(first, first_swapped, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(second, second_swapped, rtol=1e-5, atol=1e-6)


def test_attention_weights_differ_between_traits():
    _, weights = TraitAttention(num_heads=2)(tokens("static", 6))
    assert len(np.unique(np.asarray(weights)[0, 0].round(4), axis=0)) == 5


def test_feed_forward_adds_to_its_input():
    layer = FeedForward(2, dropout_rate=0.0)
    layer.build(INPUTS.shape)
    layer.contract.kernel.assign(keras.ops.zeros_like(layer.contract.kernel))
    np.testing.assert_array_equal(layer(INPUTS), INPUTS)


def test_feed_forward_normalizes_its_input():
    layer = FeedForward(2, dropout_rate=0.0)
    added, added_to_large = (np.asarray(layer(x)) - x for x in (INPUTS, 100 * INPUTS))
    np.testing.assert_allclose(added, added_to_large, atol=1e-2)


class TestAttend:
    @staticmethod
    def projections(seed, *, num_queries=4, num_keys=5, width=6):
        rng = generator(seed, "projections")
        shapes = [(2, num_queries, width), (2, num_keys, width), (2, num_keys, width)]
        return [rng.normal(0, 2, shape).astype("float32") for shape in shapes]

    @staticmethod
    def attended(query, key, value, mask=None, num_heads=2):
        values, weights = attend(query, key, value, mask, num_heads=num_heads)
        return np.asarray(values), np.asarray(weights)

    def test_weights_are_the_softmax_of_scaled_dot_products(self):
        query = np.array([[[2.0, 0.0, 0.0, 0.0]]], dtype="float32")
        key = np.array([[[np.log(3.0), 0, 0, 0], [0.0, 0, 0, 0]]], dtype="float32")
        value = np.array([[[4.0, 0, 0, 0], [0.0, 8, 0, 0]]], dtype="float32")
        # Scores: 2 log 3 / sqrt(4) and 0.
        values, weights = self.attended(query, key, value, num_heads=1)
        np.testing.assert_allclose(weights, [[[[0.75, 0.25]]]], rtol=1e-6)
        np.testing.assert_allclose(values, [[[3.0, 2.0, 0, 0]]], rtol=1e-6)

    def test_each_head_uses_its_own_columns(self):
        query, key, value = self.projections(0)
        values, weights = self.attended(query, key, value)
        for head, part in enumerate((slice(0, 3), slice(3, 6))):
            columns = (query[..., part], key[..., part], value[..., part])
            alone, alone_weights = self.attended(*columns, num_heads=1)
            np.testing.assert_allclose(values[..., part], alone, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(weights[:, head], alone_weights[:, 0], rtol=1e-5, atol=1e-6)

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.lists(st.booleans(), min_size=10, max_size=10))
    def test_rows_sum_to_one_and_padding_has_weight_zero(self, seed, flags):
        mask = np.array(flags).reshape(2, 5)
        mask[:, 2] = True
        _, weights = self.attended(*self.projections(seed), mask)
        assert weights.shape == (2, 2, 4, 5)
        np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-6)
        assert (np.moveaxis(weights, -1, 1)[~mask] == 0).all()

    def test_values_of_padding_change_nothing(self):
        query, key, value = self.projections(0)
        mask = np.array([[True, False, True, True, False]] * 2)
        expected = self.attended(query, key, value, mask)
        key[~mask], value[~mask] = 1e6, -1e6
        for found, wanted in zip(self.attended(query, key, value, mask), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)

    def test_a_clip_of_padding_alone_gives_zeros(self):
        mask = np.array([[False] * 5, [True] * 5])
        values, weights = self.attended(*self.projections(0), mask)
        assert (values[0] == 0).all()
        assert (weights[0] == 0).all()
        assert np.isfinite(values[1]).all()

    @pytest.mark.parametrize("precision", ["float16", "bfloat16"])
    def test_weights_sum_to_one_in_half_precision(self, precision):
        query, key, value = (keras.ops.cast(x, precision) for x in self.projections(0))
        mask = np.array([[True, True, True, True, False]] * 2)
        values, weights = attend(query, key, value, mask, num_heads=2)
        assert keras.backend.standardize_dtype(values.dtype) == precision
        np.testing.assert_allclose(np.asarray(weights).sum(axis=-1), 1.0, atol=1e-6)
