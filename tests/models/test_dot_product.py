import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.seeds import generator
from pipeline.models.dot_product import attend


def projections(seed, *, num_queries=4, num_keys=5, width=6):
    rng = generator(seed, "projections")
    shapes = [(2, num_queries, width), (2, num_keys, width), (2, num_keys, width)]
    return [rng.normal(0, 2, shape).astype("float32") for shape in shapes]


def attended(query, key, value, mask=None, num_heads=2):
    mixed, weights = attend(query, key, value, mask, num_heads=num_heads)
    return np.asarray(mixed), np.asarray(weights)


def test_it_weighs_values_by_the_softmax_of_scaled_dot_products():
    query = np.array([[[2.0, 0.0, 0.0, 0.0]]], dtype="float32")
    key = np.array([[[np.log(3.0), 0, 0, 0], [0.0, 0, 0, 0]]], dtype="float32")
    value = np.array([[[4.0, 0, 0, 0], [0.0, 8, 0, 0]]], dtype="float32")
    mixed, weights = attended(query, key, value, num_heads=1)  # scores 2 log 3 / sqrt(4), 0
    np.testing.assert_allclose(weights, [[[[0.75, 0.25]]]], rtol=1e-6)
    np.testing.assert_allclose(mixed, [[[3.0, 2.0, 0, 0]]], rtol=1e-6)


def test_each_head_reads_its_own_share_of_the_width():
    query, key, value = projections(0)
    mixed, weights = attended(query, key, value)
    for head, share in enumerate((slice(0, 3), slice(3, 6))):
        alone, alone_weights = attended(
            query[..., share], key[..., share], value[..., share], num_heads=1
        )
        np.testing.assert_allclose(mixed[..., share], alone, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(weights[:, head], alone_weights[:, 0], rtol=1e-5, atol=1e-6)


def test_one_set_of_queries_serves_all_clips():
    query, key, value = projections(0)
    shared, _ = attended(query[:1], key, value)
    repeated, _ = attended(np.repeat(query[:1], 2, axis=0), key, value)
    np.testing.assert_allclose(shared, repeated, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.booleans(), min_size=10, max_size=10))
def test_rows_sum_to_one_and_padding_gets_nothing(seed, flags):
    mask = np.array(flags).reshape(2, 5)
    mask[:, 2] = True
    _, weights = attended(*projections(seed), mask)
    assert weights.shape == (2, 2, 4, 5)
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-6)
    assert (np.moveaxis(weights, -1, 1)[~mask] == 0).all()


def test_what_padding_holds_changes_nothing():
    query, key, value = projections(0)
    mask = np.array([[True, False, True, True, False]] * 2)
    expected = attended(query, key, value, mask)
    key[~mask], value[~mask] = 1e6, -1e6
    for ours, theirs in zip(attended(query, key, value, mask), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_clip_of_padding_alone_gives_zeros():
    mask = np.array([[False] * 5, [True] * 5])
    mixed, weights = attended(*projections(0), mask)
    assert (mixed[0] == 0).all()
    assert (weights[0] == 0).all()
    assert np.isfinite(mixed[1]).all()


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_weights_stay_exact_in_half_precision(precision):
    from keras import ops

    query, key, value = (ops.cast(x, precision) for x in projections(0))
    mask = np.array([[True, True, True, True, False]] * 2)
    mixed, weights = attend(query, key, value, mask, num_heads=2)
    assert str(mixed.dtype).endswith(precision + "'>")
    np.testing.assert_allclose(np.asarray(weights).sum(axis=-1), 1.0, atol=1e-6)
