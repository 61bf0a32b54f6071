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
            TraitAttention,
            {"num_traits": 3, "num_heads": 4},
            {"tokens": tokens("static", 6), "token_mask": np.ones((3, 6), dtype=bool)},
            ((3, 3, 8), (3, 4, 3, 6)),
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


@pytest.mark.parametrize(
    ("names", "weight_shapes"),
    [
        (("a",), [(3, 2, 4, 4)]),
        (("a", "b"), [(3, 2, 4, 5), (3, 2, 5, 4)]),
        (("a", "b", "c"), [(3, 2, 4, 11), (3, 2, 5, 10), (3, 2, 6, 9)]),
    ],
)
def test_a_block_of_any_number_of_streams_can_be_configured_trained_and_saved(
    names, weight_shapes, tmp_path
):
    num_tokens = range(4, 4 + len(names))
    check_layer(
        CrossAttentionBlock,
        {"streams": names, **BLOCK},
        {
            "tokens": [tokens(name, each) for name, each in zip(names, num_tokens, strict=True)],
            "masks": [np.ones((3, each), dtype=bool) for each in num_tokens],
        },
        output_shape=([(3, each, 8) for each in num_tokens], weight_shapes),
        num_trainable=11 * len(names),
        tmp_path=tmp_path,
    )


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c")])
def test_all_streams_use_the_input_of_the_block(names):
    block = CrossAttentionBlock(names, **BLOCK)
    values = [tokens(name, 4) for name in names]
    block(values)
    for name in names[1:]:
        block.side(name).set_weights(block.side("a").get_weights())
    expected, _ = block(values)
    found, _ = block(values[::-1])
    for first, second in zip(expected, found[::-1], strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


def test_a_stream_attends_to_the_tokens_of_all_other_streams_in_order():
    block = CrossAttentionBlock(("a", "b", "c"), **BLOCK)
    values = [tokens(name, size) for name, size in (("a", 2), ("b", 3), ("c", 4))]
    _, before = block(values)
    values[2] = values[2][:, ::-1]
    _, after = block(values)
    np.testing.assert_allclose(after[0][..., :3], before[0][..., :3], atol=1e-6)
    np.testing.assert_allclose(after[0][..., 3:], before[0][..., :2:-1], atol=1e-6)


def test_a_masked_stream_gets_no_weight_from_the_other_streams():
    block = CrossAttentionBlock(("a", "b", "c"), **BLOCK)
    values = [tokens(name, 4) for name in "abc"]
    _, weights = block(values, masks=[None, np.zeros((3, 4), dtype=bool), None])
    assert (np.asarray(weights[0])[..., :4] == 0).all()
    np.testing.assert_allclose(np.asarray(weights[0])[..., 4:].sum(axis=-1), 1.0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(
    ("layer_class", "arguments", "inputs"),
    [
        (TraitAttention, {"num_traits": 3, "num_heads": 4}, tokens("a", 6)),
        (CrossAttentionBlock, {"streams": ("a",), **BLOCK}, [tokens("a", 4)]),
        (
            CrossAttentionBlock,
            {"streams": ("a", "b", "c"), **BLOCK},
            [tokens(name, size) for name, size in (("a", 4), ("b", 2), ("c", 7))],
        ),
    ],
)
def test_symbolic_outputs_have_the_shapes_and_dtypes_of_the_outputs(
    layer_class, arguments, inputs, dtype
):
    layer = layer_class(**arguments, dtype=dtype)
    symbols = keras.tree.map_structure(lambda values: keras.Input(values.shape[1:]), inputs)
    expected = keras.tree.map_structure(
        lambda output: ((None, *output.shape[1:]), output.dtype.name), layer(inputs)
    )
    found = keras.tree.map_structure(lambda symbol: (symbol.shape, symbol.dtype), layer(symbols))
    assert found == expected


def test_attention_weights_differ_between_traits():
    _, weights = TraitAttention(5, num_heads=2)(tokens("static", 6))
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
