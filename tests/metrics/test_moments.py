import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.metrics import regression
from pipeline.metrics.moments import MOMENTS, metrics_from_moments, row_moments
from pipeline.metrics.regression import METRICS

SCORES = hnp.arrays(np.int64, (9, 3), elements=st.integers(0, 1000)).map(lambda a: a / 1000)


def moments(true, pred):
    return row_moments(true, pred).sum(axis=0)


def exact_metrics(true, pred):
    functions = (
        regression.accuracy,
        regression.mean_absolute_error,
        regression.mean_squared_error,
        regression.r_squared,
        regression.pearson,
        regression.concordance,
    )
    return {m: f(true, pred) for m, f in zip(METRICS, functions, strict=True)}


def assert_equal_metrics(found, expected, tolerance=1e-6):
    assert tuple(found) == METRICS
    for metric in METRICS:
        # The others divide by a variance, which has lost digits.
        close = 1e-9 if metric in ("accuracy", "mae", "mse") else tolerance
        np.testing.assert_allclose(
            found[metric], expected[metric], rtol=close, atol=close, err_msg=metric
        )


def test_moments_have_the_values_computed_by_hand():
    found = row_moments(np.array([[0.6], [0.9]]), np.array([[0.7], [0.5]]))
    expected = {
        "weight": [1.0, 1.0],
        "true": [0.1, 0.4],
        "pred": [0.2, 0.0],
        "true_squared": [0.01, 0.16],
        "pred_squared": [0.04, 0.0],
        "product": [0.02, 0.0],
        "absolute_error": [0.1, 0.4],
    }
    assert tuple(expected) == MOMENTS
    np.testing.assert_allclose(found[..., 0].T, list(expected.values()), atol=1e-15)


@given(true=SCORES, pred=SCORES)
def test_metrics_from_moments_equal_the_exact_ones(true, pred):
    assert_equal_metrics(metrics_from_moments(moments(true, pred)), exact_metrics(true, pred))


def test_a_resample_counts_each_clip_as_often_as_it_was_drawn():
    true, pred = np.random.default_rng(0).random((2, 6, 5))
    counts = np.array([1, 0, 3, 2, 1, 4])
    found = metrics_from_moments(np.tensordot(counts, row_moments(true, pred), axes=1))
    repeated = (np.repeat(scores, counts, axis=0) for scores in (true, pred))
    assert_equal_metrics(found, exact_metrics(*repeated))


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
    assert_equal_metrics(found, expected, tolerance=1e-4)
    assert (expected["pcc"] == 0) == (deviation == 1e-8)


def test_leading_axes_are_kept():
    true, pred = np.random.default_rng(5).random((2, 4, 3, 8, 5))
    stacked = np.array([[moments(true[i, j], pred[i, j]) for j in range(3)] for i in range(4)])
    found = metrics_from_moments(stacked)
    assert found["r2"].shape == (4, 3, 5)
    one = {metric: values[2, 1] for metric, values in found.items()}
    assert_equal_metrics(one, exact_metrics(true[2, 1], pred[2, 1]))


@pytest.mark.parametrize("ulps", [[0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 3, -2, 1, 0]])
def test_a_perfect_prediction_has_no_error_even_if_its_sums_are_rounded(ulps):
    scores = np.random.default_rng(6).random((1000, 5))
    rounding = 1 + np.spacing(1.0) * np.array(ulps)
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
