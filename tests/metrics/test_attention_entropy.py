import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.metrics.attention_entropy import head_entropies, map_masks, normalized_entropy


def one_query(*weights):
    """Return the weights of one query of one head in one clip."""
    return np.array(weights, dtype=np.float32).reshape(1, 1, 1, -1)


@st.composite
def weights_and_keys(draw):
    """Return weights of 2 clips, 3 heads and 2 queries, 0 on padding, and the mask of 4 keys."""
    key_mask = draw(hnp.arrays(np.bool_, (2, 4)))
    key_mask[:, :2] = True
    shape = (2, 3, 2, 4)
    raw = draw(hnp.arrays(np.float64, shape, elements=st.floats(0.0, 1.0)))
    raw = np.where(key_mask[:, None, None, :], raw + 1e-3, 0.0)
    return raw / raw.sum(axis=-1, keepdims=True), key_mask


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((0.25, 0.25, 0.25, 0.25), 1.0),
        ((0.0, 1.0, 0.0, 0.0), 0.0),
        ((0.5, 0.5, 0.0, 0.0), 0.5),
        ((0.75, 0.25), -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)),
        ((1.0,), math.nan),
    ],
)
def test_entropy_has_the_value_computed_by_hand(weights, expected):
    assert normalized_entropy(one_query(*weights)) == pytest.approx(expected, nan_ok=True)


def test_entropy_is_averaged_over_queries():
    weights = np.array([[[[0.5, 0.5], [1.0, 0.0]]]])
    assert normalized_entropy(weights) == pytest.approx(0.5)


def test_padded_queries_are_ignored():
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
def test_without_two_keys_or_a_query_entropy_is_nan(masks):
    assert np.isnan(normalized_entropy(one_query(1.0, 0.0, 0.0), **masks)).all()


@given(weights_and_keys())
def test_entropy_is_in_0_1_and_ignores_padding(case):
    weights, key_mask = case
    found = normalized_entropy(weights.astype(np.float32), key_mask=key_mask)
    assert ((found >= 0) & (found <= 1)).all()
    for clip in range(2):
        real = weights[clip : clip + 1][..., key_mask[clip]]
        expected = normalized_entropy(real.astype(np.float32))
        np.testing.assert_allclose(found[clip : clip + 1], expected, rtol=1e-6)


def test_each_map_has_the_masks_of_its_streams():
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


def test_each_map_is_measured_with_the_masks_of_its_streams():
    masks = {"static": np.array([[True, False]]), "dynamic": np.array([[True, True, False]])}
    weights = np.array([[[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]]])
    name = "block_1/static_to_dynamic"
    assert head_entropies({name: weights}, masks) == {name: pytest.approx(np.array([[1.0]]))}
