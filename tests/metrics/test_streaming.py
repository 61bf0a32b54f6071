import json

import keras
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import tensorflow as tf

from pipeline.core.traits import TRAITS
from pipeline.metrics.regression import METRICS, trait_metrics
from pipeline.metrics.streaming import TraitMoments

NUMBERS = np.random.default_rng(0)
TRUE = NUMBERS.random((53, 5)).astype(np.float32)
PRED = (0.4 * TRUE + 0.3 + NUMBERS.normal(0, 0.1, TRUE.shape)).astype(np.float32)
WEIGHT = NUMBERS.random(53).astype(np.float32)


def flat(nested):
    return {
        metric if name == "mean" else f"{metric}_{name}": value
        for metric, by_trait in nested.items()
        for name, value in by_trait.items()
    }


def assert_equal_to_numpy(metric, expected):
    result = {key: float(value) for key, value in metric.result().items()}
    assert result == pytest.approx(flat(expected), rel=1e-9, abs=1e-9)
    assert flat(metric.numpy_result()) == pytest.approx(flat(expected), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("batch_size", [1, 7, 53])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
def test_result_equals_the_exact_metrics_for_any_batching(batch_size, weight):
    metric = TraitMoments()
    for start in range(0, 53, batch_size):
        rows = slice(start, start + batch_size)
        metric.update_state(TRUE[rows], PRED[rows], None if weight is None else weight[rows])
    assert_equal_to_numpy(metric, trait_metrics(TRUE, PRED, weight))


def test_result_equals_scikit_learn_and_scipy():
    metric = TraitMoments()
    metric.update_state(TRUE[:20], PRED[:20])
    metric.update_state(TRUE[20:], PRED[20:])
    result = metric.result()
    assert float(result["mae"]) == pytest.approx(sklearn.metrics.mean_absolute_error(TRUE, PRED))
    assert float(result["r2"]) == pytest.approx(sklearn.metrics.r2_score(TRUE, PRED))
    for column, trait in enumerate(TRAITS):
        expected = scipy.stats.pearsonr(
            TRUE[:, column].astype(float), PRED[:, column].astype(float)
        ).statistic
        assert float(result[f"pcc_{trait}"]) == pytest.approx(expected)


def test_a_weight_column_counts_like_a_weight_vector():
    metric = TraitMoments()
    metric.update_state(TRUE, PRED, WEIGHT[:, None])
    assert_equal_to_numpy(metric, trait_metrics(TRUE, PRED, WEIGHT))


def test_a_graph_gives_what_eager_execution_gives():
    metric = TraitMoments()

    @tf.function
    def step(true, pred, weight):
        metric.update_state(true, pred, weight)
        return metric.result()

    for start in range(0, 53, 16):
        rows = slice(start, start + 16)
        result = step(*(tf.constant(array[rows]) for array in (TRUE, PRED, WEIGHT)))
    expected = flat(trait_metrics(TRUE, PRED, WEIGHT))
    assert {key: float(value) for key, value in result.items()} == pytest.approx(expected, rel=1e-9)


def test_digits_are_kept_over_many_batches_of_close_scores():
    numbers = np.random.default_rng(1)
    true = 0.5 + numbers.normal(0, 1e-3, (50_000, 5))
    pred = true + numbers.normal(0, 1e-3, true.shape)
    metric = TraitMoments()
    for start in range(0, len(true), 500):
        metric.update_state(true[start : start + 500], pred[start : start + 500])
    assert_equal_to_numpy(metric, trait_metrics(true, pred))


def test_constant_columns_follow_the_exact_metrics():
    metric = TraitMoments()
    true, pred = TRUE.copy(), PRED.copy()
    true[:, 0] = pred[:, 0] = pred[:, 1] = true[:, 2] = 0.3
    metric.update_state(true, pred)
    assert_equal_to_numpy(metric, trait_metrics(true, pred))


def test_reset_forgets_what_was_seen():
    metric = TraitMoments()
    metric.update_state(1 - TRUE, PRED)
    metric.reset_state()
    metric.update_state(TRUE, PRED)
    assert_equal_to_numpy(metric, trait_metrics(TRUE, PRED))


def test_nothing_seen_is_nan_and_not_a_perfect_score():
    metric = TraitMoments()
    assert all(np.isnan(float(value)) for value in metric.result().values())
    assert all(np.isnan(value) for value in flat(metric.numpy_result()).values())


@pytest.mark.parametrize("shape", [(53, 1), (53,), (53, 4)])
def test_scores_that_would_be_broadcast_are_refused(shape):
    with pytest.raises(ValueError, match=r"y_true must have shape \(clips, 5\)"):
        TraitMoments().update_state(np.zeros(shape), PRED)


def test_half_precision_does_not_reach_the_sums():
    metric = TraitMoments()
    metric.update_state(tf.cast(TRUE, "float16"), tf.cast(PRED, "float16"))
    assert_equal_to_numpy(metric, trait_metrics(TRUE.astype(np.float16), PRED.astype(np.float16)))


def test_fit_and_evaluate_log_every_metric_over_all_rows():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(5)])
    model.compile("sgd", "mse", metrics=[TraitMoments()])
    history = model.fit(
        TRUE, TRUE, validation_data=(PRED, TRUE), batch_size=7, epochs=1, verbose=0
    ).history
    expected = flat(trait_metrics(TRUE, model.predict(PRED, verbose=0)))
    assert {key: history[f"val_{key}"][0] for key in expected} == pytest.approx(expected, rel=1e-5)
    assert set(expected) <= set(history)
    assert {"mae", "mae_openness"} <= set(expected)
    assert len(expected) == len(METRICS) * 6


def test_a_configuration_rebuilds_the_metric():
    metric = TraitMoments(name="scores")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(metric)))
    assert config["registered_name"] == "pipeline>TraitMoments"
    assert keras.saving.deserialize_keras_object(config).name == "scores"
