import numpy as np
import pytest
import tensorflow as tf

from pipeline.core.traits import TRAITS
from pipeline.metrics.regression import trait_metrics
from pipeline.metrics.streaming import TraitMoments

NUMBERS = np.random.default_rng(0)
TRUE = NUMBERS.random((53, 5)).astype(np.float32)
PRED = (0.4 * TRUE + 0.3 + NUMBERS.normal(0, 0.1, TRUE.shape)).astype(np.float32)
CONSTANT_TRUE, CONSTANT_PRED = TRUE.copy(), PRED.copy()
CONSTANT_TRUE[:, 0] = CONSTANT_PRED[:, 0] = CONSTANT_PRED[:, 1] = CONSTANT_TRUE[:, 2] = 0.3
CLOSE_TRUE = 0.5 + NUMBERS.normal(0, 1e-3, (50_000, 5))
CLOSE_PRED = CLOSE_TRUE + NUMBERS.normal(0, 1e-3, CLOSE_TRUE.shape)


def assert_equal_to_numpy(metric, true, pred):
    found, expected = metric.trait_metrics(), trait_metrics(true, pred, trait_names=TRAITS)
    assert list(found) == list(expected)
    for name, traits in expected.items():
        assert found[name] == pytest.approx(traits, rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize(
    ("true", "pred", "batch_size"),
    [
        (TRUE, PRED, 1),
        (TRUE, PRED, 7),
        (TRUE, PRED, 53),
        (CONSTANT_TRUE, CONSTANT_PRED, 7),
        (CLOSE_TRUE, CLOSE_PRED, 500),
        (np.float16(TRUE), np.float16(PRED), 7),
    ],
    ids=["single clips", "batches", "one batch", "constant", "close scores", "float16"],
)
def test_streaming_metrics_equal_the_exact_metrics(true, pred, batch_size):
    metric = TraitMoments(TRAITS)
    for start in range(0, len(true), batch_size):
        rows = slice(start, start + batch_size)
        metric.update_state(true[rows], pred[rows])
    assert_equal_to_numpy(metric, true, pred)


def test_graph_execution_gives_the_exact_metrics():
    metric = TraitMoments(TRAITS)
    step = tf.function(metric.update_state)
    for start in range(0, 53, 16):
        rows = slice(start, start + 16)
        step(tf.constant(TRUE[rows]), tf.constant(PRED[rows]))
    assert_equal_to_numpy(metric, TRUE, PRED)


def test_a_reset_removes_all_clips():
    metric = TraitMoments(TRAITS)
    metric.update_state(1 - TRUE, PRED)
    metric.reset_state()
    metric.update_state(TRUE, PRED)
    assert_equal_to_numpy(metric, TRUE, PRED)


def test_metrics_of_no_clips_are_nan():
    scores = TraitMoments(TRAITS).trait_metrics()
    assert all(np.isnan(value) for traits in scores.values() for value in traits.values())


@pytest.mark.parametrize("shape", [(53, 1), (53,), (53, 4)])
def test_scores_of_another_shape_are_an_error(shape):
    with pytest.raises(ValueError, match=r"y_true must have shape \(clips, 5\)"):
        TraitMoments(TRAITS).update_state(np.zeros(shape), PRED)


def test_one_trait_has_the_metrics_of_numpy():
    true, pred = np.random.default_rng(0).random((2, 20, 1))
    metric = TraitMoments(["interview"])
    metric.update_state(true, pred)
    expected = trait_metrics(true, pred, trait_names=["interview"])
    for name, values in metric.trait_metrics().items():
        assert values == pytest.approx(expected[name])
