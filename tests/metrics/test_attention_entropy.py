import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.metrics.attention_entropy import head_entropies, map_masks, normalized_entropy


def one_query(*weights):
    """The weights of one query of one head in one clip."""
    return np.array(weights, dtype=np.float32).reshape(1, 1, 1, -1)


@st.composite
def weights_and_keys(draw):
    """Weights of 2 clips, 3 heads and 2 queries, 0 on padding, and which of 4 keys are real."""
    key_mask = draw(hnp.arrays(np.bool_, (2, 4)))
    key_mask[:, :2] = True
    shape = (2, 3, 2, 4)
    raw = draw(hnp.arrays(np.float64, shape, elements=st.floats(0.0, 1.0)))
    raw = np.where(key_mask[:, None, None, :], raw + 1e-3, 0.0)
    return raw / raw.sum(axis=-1, keepdims=True), key_mask


def test_an_even_look_has_1_and_a_look_at_one_key_has_0():
    assert normalized_entropy(one_query(0.25, 0.25, 0.25, 0.25)) == pytest.approx(1.0)
    assert normalized_entropy(one_query(0.0, 1.0, 0.0, 0.0)) == 0.0


def test_an_even_look_at_two_of_four_keys_has_a_half():
    assert normalized_entropy(one_query(0.5, 0.5, 0.0, 0.0)) == pytest.approx(0.5)


def test_an_uneven_look_has_the_entropy_by_hand():
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    assert normalized_entropy(one_query(0.75, 0.25)) == pytest.approx(expected)


def test_the_mean_is_taken_over_queries():
    weights = np.array([[[[0.5, 0.5], [1.0, 0.0]]]])
    assert normalized_entropy(weights) == pytest.approx(0.5)


def test_padded_keys_do_not_count():
    mask = np.array([[True, True, False, False]])
    assert normalized_entropy(one_query(0.5, 0.5, 0.0, 0.0), key_mask=mask) == pytest.approx(1.0)


def test_padded_queries_do_not_count():
    weights = np.array([[[[0.5, 0.5], [1.0, 0.0]]]])
    mask = np.array([[True, False]])
    assert normalized_entropy(weights, query_mask=mask) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "masks",
    [
        {"key_mask": np.array([[True, False, False]])},
        {"key_mask": np.array([[False, False, False]])},
        {"query_mask": np.array([[False]])},
    ],
)
def test_without_a_choice_it_is_undefined(masks):
    assert np.isnan(normalized_entropy(one_query(1.0, 0.0, 0.0), **masks)).all()


def test_over_a_single_key_it_is_undefined():
    assert np.isnan(normalized_entropy(one_query(1.0))).all()


def test_a_clip_without_a_choice_leaves_the_others_alone():
    weights = np.full((2, 1, 1, 2), 0.5)
    found = normalized_entropy(weights, key_mask=np.array([[True, False], [True, True]]))
    np.testing.assert_array_equal(found, [[np.nan], [1.0]])


@given(weights_and_keys())
def test_it_lies_between_0_and_1_and_does_not_see_padding(case):
    weights, key_mask = case
    found = normalized_entropy(weights.astype(np.float32), key_mask=key_mask)
    assert ((found >= 0) & (found <= 1)).all()
    for clip in range(2):
        real = weights[clip : clip + 1][..., key_mask[clip]]
        expected = normalized_entropy(real.astype(np.float32))
        np.testing.assert_allclose(found[clip : clip + 1], expected, rtol=1e-6)


def test_each_map_takes_the_masks_of_its_streams():
    masks = {
        "static": np.array([[True, False]]),
        "dynamic": np.array([[True, True, True]]),
    }
    query, key = map_masks("block_1/static_to_dynamic", masks)
    np.testing.assert_array_equal(query, masks["static"])
    np.testing.assert_array_equal(key, masks["dynamic"])
    query, key = map_masks("traits", masks)
    assert query is None
    np.testing.assert_array_equal(key, [[True, False, True, True, True]])


def test_entropies_come_by_map():
    masks = {"static": np.array([[True, False]]), "dynamic": np.array([[True, True]])}
    weights = {
        "block_1/static_to_dynamic": np.array([[[[0.5, 0.5], [1.0, 0.0]]]]),
        "block_1/dynamic_to_static": np.array([[[[1.0, 0.0], [1.0, 0.0]]]]),
    }
    found = head_entropies(weights, masks)
    assert found["block_1/static_to_dynamic"] == pytest.approx(1.0)
    assert np.isnan(found["block_1/dynamic_to_static"]).all()
