import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.evaluation.attention import (
    PaddedMean,
    attention_rollout,
    head_agreement,
    trait_attention,
    without_padding,
)

NUM_KEYS = {"static": 2, "dynamic": 2}

positive = st.floats(1e-3, 1.0)


def normalized(raw):
    return raw / raw.sum(axis=-1, keepdims=True)


def heads(*rows):
    """One clip and one query, a row of weights for each head."""
    return np.array(rows, dtype=np.float64)[None, :, None, :]


def test_padding_becomes_nan_for_queries_and_for_keys():
    weights = np.full((1, 1, 2, 2), 0.5)
    found = without_padding(weights, np.array([[True, False]]), np.array([[True, False]]))
    np.testing.assert_array_equal(found[0, 0], [[0.5, np.nan], [np.nan, np.nan]])


def test_a_mean_over_batches_leaves_padding_out():
    mean = PaddedMean()
    mean.add(np.array([[1.0, np.nan, np.nan]]))
    mean.add(np.array([[2.0, 4.0, np.nan], [6.0, np.nan, np.nan]]))
    np.testing.assert_array_equal(mean.result(), [3.0, 4.0, np.nan])


def test_heads_that_look_alike_agree_fully_and_disjoint_ones_not_at_all():
    found = head_agreement(heads([0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]))
    np.testing.assert_allclose(found[0], [[1, 1, 0], [1, 1, 0], [0, 0, 1]], atol=1e-7)


def test_the_agreement_of_two_heads_is_that_by_hand():
    # The middle of (1, 0) and (1/2, 1/2) is (3/4, 1/4).
    middle = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    expected = 1 - math.sqrt(middle - (0 + 1) / 2)
    found = head_agreement(heads([1.0, 0.0], [0.5, 0.5]))
    assert found[0, 0, 1] == pytest.approx(expected)


def test_agreement_is_averaged_over_real_queries():
    weights = np.array([[[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]]])
    assert head_agreement(weights)[0, 0, 1] == pytest.approx(0.5)
    only_first = head_agreement(weights, query_mask=np.array([[True, False]]))
    assert only_first[0, 0, 1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    "masks",
    [{"key_mask": np.array([[True, False]])}, {"query_mask": np.array([[False]])}],
)
def test_heads_without_a_choice_neither_agree_nor_differ(masks):
    assert np.isnan(head_agreement(heads([1.0, 0.0], [1.0, 0.0]), **masks)).all()


@given(hnp.arrays(np.float64, (2, 3, 2, 4), elements=positive))
def test_agreement_is_symmetric_and_a_distance(raw):
    distance = 1 - head_agreement(normalized(raw))
    assert ((distance >= -1e-12) & (distance <= 1)).all()
    np.testing.assert_array_equal(distance, distance.transpose(0, 2, 1))
    assert (distance[:, 0, 2] <= distance[:, 0, 1] + distance[:, 1, 2] + 1e-9).all()


def test_trait_weights_are_parted_by_stream_and_averaged_over_heads():
    weights = np.zeros((1, 2, 5, 4))
    weights[0, 0, :, 0], weights[0, 1, :, 3] = 1.0, 1.0
    found = trait_attention({"traits": weights}, NUM_KEYS)
    np.testing.assert_array_equal(found["static"], np.tile([0.5, 0.0], (1, 5, 1)))
    np.testing.assert_array_equal(found["dynamic"], np.tile([0.0, 0.5], (1, 5, 1)))


def test_streams_that_are_looked_at_alone_keep_weights_of_their_own():
    weights = {f"{name}/traits": np.full((1, 1, 5, 2), 0.5) for name in ("dynamic", "static")}
    found = trait_attention(weights, NUM_KEYS)
    assert list(found) == ["static", "dynamic"]
    assert found["dynamic"].sum() == pytest.approx(5.0)


def test_a_rollout_follows_a_look_to_where_the_looked_at_looks():
    weights = {
        "traits": np.tile([1.0, 0.0, 0.0, 0.0], (1, 1, 5, 1)),  # at the first static token,
        "block_1/static_to_dynamic": np.array([[[[0.0, 1.0], [1.0, 0.0]]]]),  # which looks at
        "block_1/dynamic_to_static": np.array([[[[0.5, 0.5], [0.5, 0.5]]]]),  # the second dynamic
    }
    found = attention_rollout(weights, NUM_KEYS)
    np.testing.assert_array_equal(found["static"][0, 0], [0.5, 0.0])
    np.testing.assert_array_equal(found["dynamic"][0, 0], [0.0, 0.5])


def test_a_rollout_is_the_product_of_the_matrices_of_all_blocks():
    rng = np.random.default_rng(0)
    num_keys = {"static": 2, "dynamic": 3}
    weights = {"traits": normalized(rng.random((1, 2, 5, 5)))}
    product = np.eye(5)
    for number in (1, 2):
        to_dynamic, to_static = rng.random((1, 2, 2, 3)), rng.random((1, 2, 3, 2))
        weights[f"block_{number}/static_to_dynamic"] = normalized(to_dynamic)
        weights[f"block_{number}/dynamic_to_static"] = normalized(to_static)
        block = np.zeros((5, 5))
        block[:2, 2:] = normalized(to_dynamic).mean(axis=1)[0]
        block[2:, :2] = normalized(to_static).mean(axis=1)[0]
        product = (np.eye(5) + block) / 2 @ product
    expected = weights["traits"].mean(axis=1)[0] @ product
    found = attention_rollout(weights, num_keys)
    np.testing.assert_allclose(np.hstack([found["static"][0], found["dynamic"][0]]), expected)
    np.testing.assert_allclose(expected.sum(axis=1), 1.0)


def test_there_is_no_rollout_without_blocks():
    assert attention_rollout({"traits": np.full((1, 1, 5, 2), 0.5)}, {"static": 2}) == {}


def test_one_key_is_no_choice_with_and_without_a_mask():
    assert np.isnan(head_agreement(np.ones((1, 2, 3, 1)))).all()
