import gc
import weakref

import numpy as np
import pytest

from pipeline.evaluation.attention import attention_rollout, trait_attention
from pipeline.evaluation.attention_summary import AttentionSummary
from pipeline.metrics.attention_entropy import normalized_entropy
from pipeline.records.attention import FRAMES, WHOLE, WINDOWS

NUM_KEYS = {"static": 3, "dynamic": 2}
KINDS = {"static": FRAMES, "dynamic": WINDOWS}
IDS = ("a", "b", "c", "d", "e")
MAPS = ("block_1/static_to_dynamic", "block_1/dynamic_to_static", "traits")


def softmax(scores, key_mask):
    raw = np.where(key_mask[:, None, None, :], np.exp(scores), 0.0)
    return raw / raw.sum(axis=-1, keepdims=True)


def clips(num_clips=5, *, num_heads=2, masks=None):
    rng = np.random.default_rng(0)
    masks = masks or {
        name: np.ones((num_clips, count), np.bool_) for name, count in NUM_KEYS.items()
    }
    static, dynamic = masks["static"], masks["dynamic"]
    draw = rng.normal
    weights = {
        MAPS[0]: softmax(draw(size=(num_clips, num_heads, 3, 2)), dynamic),
        MAPS[1]: softmax(draw(size=(num_clips, num_heads, 2, 3)), static),
        MAPS[2]: softmax(draw(size=(num_clips, num_heads, 5, 5)), np.hstack([static, dynamic])),
    }
    return weights, masks


def summarized(weights, masks, *, batch_size, num_samples=2):
    summary = AttentionSummary(NUM_KEYS, num_samples=num_samples)
    for begin in range(0, 5, batch_size):
        part = slice(begin, begin + batch_size)
        summary.add(
            {name: values[part] for name, values in weights.items()},
            {name: mask[part] for name, mask in masks.items()},
        )
    return summary


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_numbers_do_not_depend_on_the_batches(batch_size):
    weights, masks = clips()
    found = summarized(weights, masks, batch_size=batch_size).measurements(IDS, KINDS)
    for name in MAPS:
        np.testing.assert_allclose(found.mean_maps[name], weights[name].mean(axis=0))
        np.testing.assert_array_equal(found.entropy[name], normalized_entropy(weights[name]))
        np.testing.assert_array_equal(found.sample_maps[name], weights[name][:2])
    assert found.sample_ids == ("a", "b")


def test_traits_are_told_direct_and_through_the_blocks():
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


def test_padding_is_nan_in_samples_and_out_of_means():
    masks = {"static": np.ones((5, 3), np.bool_), "dynamic": np.ones((5, 2), np.bool_)}
    masks["static"][0, 2] = False
    weights, masks = clips(masks=masks)
    found = summarized(weights, masks, batch_size=5).measurements(IDS, KINDS)
    assert np.isnan(found.sample_maps[MAPS[0]][0, :, 2]).all()
    assert np.isnan(found.sample_trait_attention["static"][0, :, 2]).all()
    expected = weights[MAPS[1]][1:, :, :, 2].mean(axis=0)
    np.testing.assert_allclose(found.mean_maps[MAPS[1]][..., 2], expected)


def test_shares_of_clips_of_all_lengths_sum_to_one_and_an_even_look_follows_the_length():
    masks = {"static": np.arange(3) < np.array([[1], [1], [1], [1], [3]]), "dynamic": None}
    masks["dynamic"] = np.ones((5, 2), np.bool_)
    weights, _ = clips(masks=masks)
    weights["traits"][:, :, :, :3] = 0.5 * masks["static"][:, None, None, :]
    weights["traits"][:, :, :, :3] /= masks["static"].sum(axis=1)[:, None, None, None]
    weights["traits"][:, :, :, 3:] = 0.25
    found = summarized(weights, masks, batch_size=2).measurements(IDS, KINDS)
    np.testing.assert_allclose(found.trait_share["static"], 0.5)
    np.testing.assert_allclose(found.trait_share["dynamic"], 0.5)
    # The first step is all that four clips have, and a third of the fifth.
    np.testing.assert_allclose(
        found.trait_attention_even["static"], [(4 + 1 / 3) / 10, 1 / 6, 1 / 6]
    )
    for trait in range(5):  # they did look evenly
        np.testing.assert_allclose(
            found.trait_attention["static"][trait], found.trait_attention_even["static"]
        )


def test_one_stream_alone_has_no_rollout():
    summary = AttentionSummary({"static": 3}, num_samples=1)
    summary.add({"traits": np.full((4, 1, 5, 3), 1 / 3)}, {"static": np.ones((4, 3), np.bool_)})
    assert list(summary.rankings("static")) == ["traits"]
    assert summary.measurements(IDS[:4], {"static": FRAMES}).trait_rollout == {}


def test_fewer_clips_than_samples_are_all_kept():
    weights, masks = clips()
    found = summarized(weights, masks, batch_size=5, num_samples=9).measurements(IDS, KINDS)
    assert found.sample_ids == IDS


def test_a_map_over_a_single_key_is_left_out_with_the_reason():
    masks = {"static": np.ones((5, 3), np.bool_), "dynamic": np.ones((5, 2), np.bool_)}
    masks["dynamic"][:, 1] = False
    weights, masks = clips(masks=masks)
    found = summarized(weights, masks, batch_size=5).measurements(IDS, KINDS)
    assert list(found.mean_maps) == [MAPS[1], MAPS[2]]
    assert "attention over one key is always 1" in found.missing[MAPS[0]]


def test_nothing_but_the_reason_is_left_of_attention_over_single_keys():
    summary = AttentionSummary({"static": 1}, num_samples=1)
    summary.add({"traits": np.ones((5, 1, 5, 1))}, {"static": np.ones((5, 1), np.bool_)})
    found = summary.measurements(IDS, {"static": FRAMES})
    assert found.mean_maps == {}
    assert "attention over one key is always 1" in found.missing[WHOLE]


def test_maps_of_clips_that_are_not_kept_are_let_go():
    summary = AttentionSummary(NUM_KEYS, num_samples=2)
    held = []
    for _ in range(3):
        weights, masks = clips()
        held.append(weakref.ref(weights["traits"]))
        summary.add(weights, masks)
    del weights, masks
    gc.collect()
    samples = [each for kept in summary._maps.values() for each in kept._samples]
    assert [len(each) for each in samples] == [2] * len(MAPS)
    assert all(each.base is None for each in samples)  # no view of a whole batch
    assert [each() for each in held] == [None] * 3
