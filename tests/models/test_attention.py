import numpy as np

from pipeline.core.seeds import generator
from pipeline.models.attention import CrossAttentionBlock, TraitAttention
from tests.models.layer_checks import check_layer

BLOCK = {"num_heads": 2, "feed_forward_factor": 2, "dropout_rate": 0.25}


def tokens(name, num_tokens):
    return generator(0, name).normal(size=(3, num_tokens, 8)).astype("float32")


def test_a_block_keeps_the_promises_of_a_layer(tmp_path):
    check_layer(
        CrossAttentionBlock,
        BLOCK,
        {
            "static": tokens("static", 4),
            "dynamic": tokens("dynamic", 5),
            "static_mask": np.ones((3, 4), dtype=bool),
            "dynamic_mask": np.ones((3, 5), dtype=bool),
        },
        output_shape=((3, 4, 8), (3, 5, 8), (3, 2, 4, 5), (3, 2, 5, 4)),
        num_trainable=22,
        tmp_path=tmp_path,
    )


def test_trait_attention_keeps_the_promises_of_a_layer(tmp_path):
    check_layer(
        TraitAttention,
        {"num_heads": 4},
        {"tokens": tokens("static", 6), "token_mask": np.ones((3, 6), dtype=bool)},
        output_shape=((3, 5, 8), (3, 4, 5, 6)),
        num_trainable=6,
        tmp_path=tmp_path,
    )


def test_both_directions_read_the_input_of_the_block():
    block = CrossAttentionBlock(**BLOCK)
    static, dynamic = tokens("static", 4), tokens("dynamic", 4)
    block(static, dynamic)
    block.dynamic_side.set_weights(block.static_side.get_weights())
    seen, seen_too, *_ = block(static, dynamic)
    swapped_too, swapped, *_ = block(dynamic, static)
    np.testing.assert_allclose(seen, swapped, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(seen_too, swapped_too, rtol=1e-5, atol=1e-6)


def test_each_trait_looks_elsewhere():
    _, weights = TraitAttention(num_heads=2)(tokens("static", 6))
    maps = np.asarray(weights)[0, 0]
    assert len(np.unique(maps.round(4), axis=0)) == 5


def test_a_block_drops_only_while_training():
    block = CrossAttentionBlock(**{**BLOCK, "dropout_rate": 0.5})
    static, dynamic = tokens("static", 4), tokens("dynamic", 5)
    once, again = (np.asarray(block(static, dynamic)[0]) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, block(static, dynamic, training=True)[0])
