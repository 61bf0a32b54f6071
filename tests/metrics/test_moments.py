import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.metrics import regression
from pipeline.metrics.moments import MOMENTS, metrics_from_moments, moments, row_moments
from pipeline.metrics.regression import METRICS

SCORES = hnp.arrays(np.int64, (9, 3), elements=st.integers(0, 1000)).map(lambda a: a / 1000)
WEIGHTS = hnp.arrays(np.int64, 9, elements=st.integers(1, 100)).map(lambda a: a / 10)


def exact_metrics(true, pred, weight=None):
    functions = (
        regression.accuracy,
        regression.mean_absolute_error,
        regression.mean_squared_error,
        regression.r_squared,
        regression.pearson,
        regression.concordance,
    )
    return {m: f(true, pred, weight) for m, f in zip(METRICS, functions, strict=True)}


OVER_VARIANCE = {"r2", "pcc", "ccc"}
"""Metrics that divide by a variance. With weights, one of such scores may be 1e-9, of which the
sums, of up to 0.25 in 16 digits, leave seven."""


def assert_equal_metrics(found, expected):
    assert tuple(found) == METRICS
    for metric in METRICS:
        close = 1e-6 if metric in OVER_VARIANCE else 1e-9
        np.testing.assert_allclose(
            found[metric], expected[metric], rtol=close, atol=close, err_msg=metric
        )


def test_moments_have_the_values_computed_by_hand():
    found = moments(np.array([[0.6], [0.9]]), np.array([[0.7], [0.5]]), np.array([1.0, 2.0]))
    expected = {
        "weight": 3.0,
        "true": 0.1 + 2 * 0.4,
        "pred": 0.2 + 2 * 0.0,
        "true_squared": 0.01 + 2 * 0.16,
        "pred_squared": 0.04 + 2 * 0.0,
        "product": 0.02 + 2 * 0.0,
        "absolute_error": 0.1 + 2 * 0.4,
    }
    assert tuple(expected) == MOMENTS
    np.testing.assert_allclose(found[:, 0], list(expected.values()))


def test_moments_add_up_over_rows():
    true, pred = np.random.default_rng(0).random((2, 20, 5))
    np.testing.assert_allclose(
        moments(true[:7], pred[:7]) + moments(true[7:], pred[7:]), moments(true, pred)
    )
    np.testing.assert_allclose(row_moments(true, pred).sum(axis=0), moments(true, pred))


@given(true=SCORES, pred=SCORES)
def test_metrics_from_moments_equal_the_exact_ones(true, pred):
    assert_equal_metrics(metrics_from_moments(moments(true, pred)), exact_metrics(true, pred))


@given(true=SCORES, pred=SCORES, weight=WEIGHTS)
def test_weighted_metrics_from_moments_equal_the_exact_ones(true, pred, weight):
    assert_equal_metrics(
        metrics_from_moments(moments(true, pred, weight)), exact_metrics(true, pred, weight)
    )


@pytest.mark.parametrize("constant", [0.0, 0.1, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("offset", [0.0, 0.2])
def test_constant_columns_follow_the_conventions_of_the_exact_metrics(constant, offset):
    varied = np.random.default_rng(3).random((1000, 1))
    flat = np.full((1000, 1), constant)
    for true, pred in ((flat, flat + offset), (flat, varied), (varied, flat)):
        assert_equal_metrics(metrics_from_moments(moments(true, pred)), exact_metrics(true, pred))


@pytest.mark.parametrize("deviation", [1e-8, 1e-5, 1e-4])
def test_nearly_constant_columns_follow_the_exact_metrics(deviation):
    numbers = np.random.default_rng(4)
    true = 0.6 + deviation * numbers.normal(size=(500, 1))
    pred = true + deviation * numbers.normal(size=(500, 1))
    found, expected = metrics_from_moments(moments(true, pred)), exact_metrics(true, pred)
    for metric in METRICS:
        np.testing.assert_allclose(found[metric], expected[metric], atol=1e-4, err_msg=metric)
    assert (expected["pcc"] == 0) == (deviation == 1e-8)


def test_leading_axes_are_kept():
    true, pred = np.random.default_rng(5).random((2, 4, 3, 8, 5))
    stacked = np.array([[moments(true[i, j], pred[i, j]) for j in range(3)] for i in range(4)])
    found = metrics_from_moments(stacked)
    for metric in METRICS:
        assert found[metric].shape == (4, 3, 5)
        np.testing.assert_allclose(
            found[metric][2, 1], exact_metrics(true[2, 1], pred[2, 1])[metric]
        )


def test_a_perfect_prediction_has_no_error_in_any_digit():
    scores = np.random.default_rng(6).random((1000, 5))
    found = metrics_from_moments(moments(scores, scores))
    assert (found["mse"] == 0).all()
    assert (found["r2"] == 1).all()


def test_a_perfect_prediction_stays_perfect_when_its_sums_are_rounded():
    rounding = 1 + np.spacing(1.0) * np.array([0, 0, 0, 3, -2, 1, 0])
    scores = np.random.default_rng(7).random((1000, 5))
    found = metrics_from_moments(moments(scores, scores) * rounding[:, None])
    assert (found["mse"] == 0).all()
    assert (found["r2"] == 1).all()


def test_a_tiny_error_never_gives_a_negative_square():
    scores = np.random.default_rng(8).random((1000, 50))
    found = metrics_from_moments(moments(scores, scores * (1 + 1e-10)))
    assert (found["mse"] >= 0).all()


def test_no_weight_gives_nan_in_every_metric():
    found = metrics_from_moments(np.zeros((7, 5)))
    assert all(np.isnan(values).all() for values in found.values())
