import gc
import math
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.evaluation.attention import (
    AttentionSummary,
    RunningMean,
    attention_rollout,
    head_agreement,
    padding_to_nan,
    trait_attention,
)
from pipeline.metrics.attention_entropy import normalized_entropy
from pipeline.records.attention import WHOLE, step_kind

TWO_KEYS = {"static": 2, "dynamic": 2}
NUM_KEYS = {"static": 3, "dynamic": 2}
KINDS = {name: step_kind(name) for name in ("static", "dynamic")}
IDS = ("a", "b", "c", "d", "e")
TO_DYNAMIC, TO_STATIC = "block_1/static_to_dynamic", "block_1/dynamic_to_static"
MAPS = (TO_DYNAMIC, TO_STATIC, "traits")

positive = st.floats(1e-3, 1.0)


def normalized(raw):
    return raw / raw.sum(axis=-1, keepdims=True)


def heads(*rows):
    """Weights of one clip and one query, one row per head."""
    return np.array(rows, dtype=np.float64)[None, :, None, :]


def test_padded_queries_and_keys_become_nan():
    weights = np.full((1, 1, 2, 2), 0.5)
    found = padding_to_nan(weights, np.array([[True, False]]), np.array([[True, False]]))
    np.testing.assert_array_equal(found[0, 0], [[0.5, np.nan], [np.nan, np.nan]])


def test_a_running_mean_ignores_nan():
    running = RunningMean()
    running.add(np.array([[1.0, np.nan, np.nan]]))
    running.add(np.array([[2.0, 4.0, np.nan], [6.0, np.nan, np.nan]]))
    np.testing.assert_array_equal(running.mean, [3.0, 4.0, np.nan])


def test_a_running_mean_keeps_no_clips_unless_asked():
    running = RunningMean()
    running.add(np.ones((2, 4)))
    with pytest.raises(ValueError, match="at least one array"):
        _ = running.samples


def test_a_running_mean_keeps_the_first_clips_and_frees_the_batches():
    running, batches = RunningMean(num_samples=3), []
    for number in range(3):
        values = np.full((2, 4), float(number))
        running.add(values)
        batches.append(weakref.ref(values))
    del values
    gc.collect()
    np.testing.assert_array_equal(running.samples[:, 0], [0.0, 0.0, 1.0])
    assert [batch() for batch in batches] == [None] * 3


def agreement(weights, query_mask=None, key_mask=None):
    if key_mask is None:
        key_mask = np.ones((len(weights), weights.shape[-1]), np.bool_)
    return head_agreement(weights, query_mask=query_mask, key_mask=key_mask)


def test_identical_heads_agree_and_disjoint_heads_do_not():
    found = agreement(heads([0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]))
    np.testing.assert_allclose(found[0], [[1, 1, 0], [1, 1, 0], [0, 0, 1]], atol=1e-7)


def test_the_agreement_of_two_heads_has_the_value_computed_by_hand():
    # The mixture of (1, 0) and (1/2, 1/2) is (3/4, 1/4).
    mixture = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    expected = 1 - math.sqrt(mixture - (0 + 1) / 2)
    assert agreement(heads([1.0, 0.0], [0.5, 0.5]))[0, 0, 1] == pytest.approx(expected)


def test_agreement_is_averaged_over_real_queries():
    weights = np.array([[[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]]])
    assert agreement(weights)[0, 0, 1] == pytest.approx(0.5)
    only_first = agreement(weights, query_mask=np.array([[True, False]]))
    assert only_first[0, 0, 1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("weights", "masks"),
    [
        (heads([1.0, 0.0], [1.0, 0.0]), {"key_mask": np.array([[True, False]])}),
        (heads([1.0, 0.0], [1.0, 0.0]), {"query_mask": np.array([[False]])}),
        (np.ones((1, 2, 3, 1)), {}),
    ],
)
def test_agreement_needs_a_query_and_two_keys(weights, masks):
    assert np.isnan(agreement(weights, **masks)).all()


@given(hnp.arrays(np.float64, (2, 3, 2, 4), elements=positive))
def test_one_minus_agreement_is_a_distance(raw):
    distance = 1 - agreement(normalized(raw))
    assert ((distance >= -1e-12) & (distance <= 1)).all()
    np.testing.assert_array_equal(distance, distance.transpose(0, 2, 1))
    assert (distance[:, 0, 2] <= distance[:, 0, 1] + distance[:, 1, 2] + 1e-9).all()


def test_trait_attention_is_split_by_stream_and_averaged_over_heads():
    weights = np.zeros((1, 2, 5, 4))
    weights[0, 0, :, 0], weights[0, 1, :, 3] = 1.0, 1.0
    found = trait_attention({"traits": weights}, TWO_KEYS)
    np.testing.assert_array_equal(found["static"], np.tile([0.5, 0.0], (1, 5, 1)))
    np.testing.assert_array_equal(found["dynamic"], np.tile([0.0, 0.5], (1, 5, 1)))


def test_separate_trait_maps_stay_separate():
    weights = {f"{name}/traits": np.full((1, 1, 5, 2), 0.5) for name in ("dynamic", "static")}
    found = trait_attention(weights, TWO_KEYS)
    assert list(found) == ["static", "dynamic"]
    assert found["dynamic"].sum() == pytest.approx(5.0)


def test_rollout_of_one_block_has_the_value_computed_by_hand():
    weights = {
        "traits": np.tile([1.0, 0.0, 0.0, 0.0], (1, 1, 5, 1)),
        TO_DYNAMIC: np.array([[[[0.0, 1.0], [1.0, 0.0]]]]),
        TO_STATIC: np.array([[[[0.5, 0.5], [0.5, 0.5]]]]),
    }
    found = attention_rollout(weights, TWO_KEYS)
    np.testing.assert_array_equal(found["static"][0, 0], [0.5, 0.0])
    np.testing.assert_array_equal(found["dynamic"][0, 0], [0.0, 0.5])


def test_rollout_is_the_product_of_the_matrices_of_all_blocks():
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


def all_real(**masks):
    return {name: np.ones((5, count), np.bool_) for name, count in NUM_KEYS.items()} | masks


def softmax(scores, key_mask):
    return normalized(np.where(key_mask[:, None, None, :], np.exp(scores), 0.0))


def clips(masks=None):
    """Random weights of five clips and two heads, and the masks of their steps."""
    normal, masks = np.random.default_rng(0).normal, masks or all_real()
    static, dynamic = masks["static"], masks["dynamic"]
    weights = {
        TO_DYNAMIC: softmax(normal(size=(5, 2, 3, 2)), dynamic),
        TO_STATIC: softmax(normal(size=(5, 2, 2, 3)), static),
        "traits": softmax(normal(size=(5, 2, 5, 5)), np.hstack([static, dynamic])),
    }
    return weights, masks


def summarized(weights, masks, *, batch_size=5, num_samples=2):
    summary = AttentionSummary(NUM_KEYS, num_samples=num_samples)
    for begin in range(0, 5, batch_size):
        part = slice(begin, begin + batch_size)
        summary.add(
            {name: values[part] for name, values in weights.items()},
            {name: mask[part] for name, mask in masks.items()},
        )
    return summary


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_measurements_do_not_depend_on_the_batch_size(batch_size):
    weights, masks = clips()
    found = summarized(weights, masks, batch_size=batch_size).measurements(IDS, KINDS)
    for name in MAPS:
        np.testing.assert_allclose(found.mean_maps[name], weights[name].mean(axis=0))
        np.testing.assert_array_equal(found.entropy[name], normalized_entropy(weights[name]))
        np.testing.assert_array_equal(found.sample_maps[name], weights[name][:2])
    assert found.sample_ids == ("a", "b")


def test_attention_and_rollout_of_the_traits_are_both_measured():
    weights, masks = clips()
    summary = summarized(weights, masks, batch_size=2)
    found = summary.measurements(IDS, KINDS)
    direct, rollout = trait_attention(weights, NUM_KEYS), attention_rollout(weights, NUM_KEYS)
    for stream in NUM_KEYS:
        np.testing.assert_allclose(found.trait_attention[stream], direct[stream].mean(axis=0))
        np.testing.assert_allclose(found.trait_rollout[stream], rollout[stream].mean(axis=0))
        np.testing.assert_array_equal(found.sample_trait_rollout[stream], rollout[stream][:2])
        rankings = summary.rankings(stream)
        np.testing.assert_allclose(rankings["traits"], direct[stream].mean(axis=1))
        np.testing.assert_allclose(rankings["rollout"], rollout[stream].mean(axis=1))


def test_padding_is_nan_in_samples_and_not_in_means():
    masks = all_real()
    masks["static"][0, 2] = False
    weights, masks = clips(masks)
    found = summarized(weights, masks).measurements(IDS, KINDS)
    assert np.isnan(found.sample_maps[TO_DYNAMIC][0, :, 2]).all()
    assert np.isnan(found.sample_trait_attention["static"][0, :, 2]).all()
    expected = weights[TO_STATIC][1:, :, :, 2].mean(axis=0)
    np.testing.assert_allclose(found.mean_maps[TO_STATIC][..., 2], expected)


def test_uniform_attention_depends_on_the_lengths_of_the_clips():
    masks = all_real(static=np.arange(3) < np.array([[1], [1], [1], [1], [3]]))
    weights, _ = clips(masks)
    weights["traits"][:, :, :, :3] = 0.5 * masks["static"][:, None, None, :]
    weights["traits"][:, :, :, :3] /= masks["static"].sum(axis=1)[:, None, None, None]
    weights["traits"][:, :, :, 3:] = 0.25
    found = summarized(weights, masks, batch_size=2).measurements(IDS, KINDS)
    np.testing.assert_allclose(found.trait_share["static"], 0.5)
    np.testing.assert_allclose(found.trait_share["dynamic"], 0.5)
    # The first step is the only step of four clips, and one of three steps of the fifth.
    uniform = found.trait_attention_even["static"]
    np.testing.assert_allclose(uniform, [(4 + 1 / 3) / 10, 1 / 6, 1 / 6])
    np.testing.assert_allclose(found.trait_attention["static"], np.tile(uniform, (5, 1)))


def test_a_model_without_blocks_has_no_rollout():
    summary = AttentionSummary({"static": 3}, num_samples=9)
    summary.add({"traits": np.full((4, 1, 5, 3), 1 / 3)}, {"static": np.ones((4, 3), np.bool_)})
    found = summary.measurements(IDS[:4], {"static": step_kind("static")})
    assert list(summary.rankings("static")) == ["traits"]
    assert found.trait_rollout == {}
    assert found.sample_ids == IDS[:4]


def test_a_map_over_a_single_key_is_missing_with_the_reason():
    masks = all_real()
    masks["dynamic"][:, 1] = False
    found = summarized(*clips(masks)).measurements(IDS, KINDS)
    assert list(found.mean_maps) == [TO_STATIC, "traits"]
    assert "attention over one key is always 1" in found.missing[TO_DYNAMIC]


def test_without_any_measurable_map_only_the_reason_is_returned():
    summary = AttentionSummary({"static": 1}, num_samples=1)
    summary.add({"traits": np.ones((5, 1, 5, 1))}, {"static": np.ones((5, 1), np.bool_)})
    found = summary.measurements(IDS, {"static": step_kind("static")})
    assert found.mean_maps == {}
    assert "attention over one key is always 1" in found.missing[WHOLE]


def test_rollout_of_three_streams_follows_every_path():
    """The reference multiplies the whole matrix of each block."""
    rng = np.random.default_rng(0)
    num_keys = {"a": 2, "b": 3, "c": 1}
    ends = np.cumsum([0, *num_keys.values()])
    places = {name: slice(*ends[i : i + 2]) for i, name in enumerate(num_keys)}
    weights, expected = {}, np.eye(6)
    for number in (1, 2):
        block = np.zeros((6, 6))
        for query, num_queries in num_keys.items():
            others = [name for name in num_keys if name != query]
            keys = sum(num_keys[name] for name in others)
            values = rng.random((1, 2, num_queries, keys))
            values /= values.sum(axis=-1, keepdims=True)
            weights[f"block_{number}/{query}_to_{'+'.join(others)}"] = values
            columns = np.concatenate([np.arange(6)[places[name]] for name in others])
            block[places[query], columns] = values.mean(axis=1)[0]
        expected = (np.eye(6) + block) / 2 @ expected
    traits = rng.random((1, 2, 5, 6))
    weights["traits"] = traits / traits.sum(axis=-1, keepdims=True)
    found = attention_rollout(weights, num_keys)
    expected = weights["traits"].mean(axis=1)[0] @ expected
    np.testing.assert_allclose(np.hstack([found[name][0] for name in num_keys]), expected)


def test_rollout_of_one_stream_includes_its_attention_to_itself():
    itself = np.array([[0.5, 0.5], [1.0, 0.0]])[None, None]
    weights = {"block_1/a_to_a": itself, "traits": np.array([[[[0.0, 1.0]]]])}
    found = attention_rollout(weights, {"a": 2})
    np.testing.assert_allclose(found["a"], [[[0.5, 0.5]]])
