from functools import partial

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.core.traits import TRAITS
from pipeline.metrics.regression import (
    HIGHER_IS_BETTER,
    METRICS,
    exact_metrics,
    metrics_from_moments,
    row_moments,
    trait_metrics,
)

TRUE = np.array([[0.2], [0.4], [0.6], [0.8]])
PRED = np.array([[0.3], [0.4], [0.4], [0.7]])
CONSTANT = np.full((4, 1), 0.1)
SCORES = hnp.arrays(np.int64, (12, 2), elements=st.integers(0, 1000)).map(lambda a: a / 1000)


def from_moments(true, pred):
    return metrics_from_moments(row_moments(true, pred).sum(axis=0))


def assert_equal_metrics(found, expected, tolerance=1e-6):
    assert tuple(found) == METRICS
    for metric in METRICS:
        # The other metrics divide by a variance, which has fewer digits.
        close = 1e-9 if metric in ("accuracy", "mae", "mse") else tolerance
        np.testing.assert_allclose(
            found[metric], expected[metric], rtol=close, atol=close, err_msg=metric
        )


@pytest.mark.parametrize("compute", [exact_metrics, from_moments])
def test_metrics_have_the_values_computed_by_hand(compute):
    expected = {
        "accuracy": 0.9,
        "mae": 0.1,
        "mse": 0.015,
        "r2": 1 - 0.015 / 0.05,
        "pcc": 0.03 / np.sqrt(0.05 * 0.0225),
        "ccc": 2 * 0.03 / (0.05 + 0.0225 + 0.05**2),
    }
    found = compute(TRUE, PRED)
    assert tuple(found) == METRICS
    for metric, value in expected.items():
        np.testing.assert_allclose(found[metric], [value], rtol=1e-12)


def test_metrics_equal_the_values_of_scikit_learn_and_scipy():
    numbers = np.random.default_rng(1)
    true = numbers.random((80, 5))
    pred = true + numbers.normal(0, 0.2, true.shape)
    found = exact_metrics(true, pred)
    for metric, theirs in (
        ("mae", sklearn.metrics.mean_absolute_error),
        ("mse", sklearn.metrics.mean_squared_error),
        ("r2", sklearn.metrics.r2_score),
    ):
        np.testing.assert_allclose(found[metric], theirs(true, pred, multioutput="raw_values"))
    expected = scipy.stats.pearsonr(true, pred, axis=0).statistic
    np.testing.assert_allclose(found["pcc"], expected)


def test_every_metric_has_the_right_direction():
    perfect, poor = exact_metrics(TRUE, TRUE), exact_metrics(TRUE, PRED)
    for metric, higher_is_better in HIGHER_IS_BETTER.items():
        assert (perfect[metric] > poor[metric]).all() == higher_is_better, metric
        assert (perfect[metric] < poor[metric]).all() != higher_is_better, metric


def test_r2_is_not_clipped_at_zero():
    assert exact_metrics(TRUE, 1 - TRUE)["r2"][0] == pytest.approx(-3.0)


@pytest.mark.parametrize(("offset", "expected"), [(0.0, 1.0), (0.1, 0.0)])
def test_r2_of_constant_annotations_equals_the_value_of_scikit_learn(offset, expected):
    true = np.full((6, 1), 0.3)
    assert exact_metrics(true, true + offset)["r2"][0] == expected
    assert sklearn.metrics.r2_score(true, true + offset) == expected


@pytest.mark.parametrize(
    ("true", "pred"),
    [
        (CONSTANT, PRED),
        (TRUE, CONSTANT),
        (CONSTANT, CONSTANT),
        (TRUE, np.nextafter(np.float32(CONSTANT), np.float32([[1], [0], [0], [1]]))),
    ],
    ids=["annotations", "prediction", "both equal", "float32 noise"],
)
def test_correlation_with_a_constant_column_is_zero(true, pred):
    found = exact_metrics(true, pred)
    assert found["pcc"].tolist() == found["ccc"].tolist() == [0.0]


def test_pcc_ignores_an_offset_and_ccc_does_not():
    found = exact_metrics(TRUE, TRUE + 0.1)
    assert found["pcc"][0] == pytest.approx(1.0)
    assert found["ccc"][0] == pytest.approx(0.1 / 0.11)


def test_a_nan_score_affects_only_its_trait():
    true, pred = np.hstack([TRUE, TRUE]), np.hstack([PRED, PRED])
    pred[1, 0] = np.nan
    for values in exact_metrics(true, pred).values():
        assert np.isnan(values).tolist() == [True, False]


@given(true=SCORES, pred=SCORES)
def test_ccc_is_within_pcc_and_pcc_within_1(true, pred):
    found = exact_metrics(true, pred)
    assert (np.abs(found["pcc"]) <= 1).all()
    assert (np.abs(found["ccc"]) <= np.abs(found["pcc"]) + 1e-12).all()


@given(true=SCORES, pred=SCORES, order=st.permutations(range(12)))
def test_the_order_of_the_clips_does_not_change_the_metrics(true, pred, order):
    shuffled, expected = exact_metrics(true[order], pred[order]), exact_metrics(true, pred)
    assert_equal_metrics(shuffled, expected, tolerance=1e-9)


@given(true=SCORES)
def test_a_perfect_prediction_has_accuracy_and_r2_of_1(true):
    found = exact_metrics(true, true)
    assert (found["accuracy"] == 1).all()
    assert (found["r2"] == 1).all()


def test_trait_metrics_have_every_trait_and_the_mean():
    true, pred = np.random.default_rng(2).random((2, 9, 5))
    result = trait_metrics(true, pred, trait_names=TRAITS)
    assert tuple(result) == METRICS
    for metric, values in exact_metrics(true, pred).items():
        assert result[metric] == {**dict(zip(TRAITS, values, strict=True)), "mean": values.mean()}


@pytest.mark.parametrize(
    ("compute", "true", "pred", "message"),
    [
        (
            partial(trait_metrics, trait_names=TRAITS),
            TRUE,
            PRED,
            r"shape \(5,\); found shape \(1,\)",
        ),
        (exact_metrics, np.empty((0, 5)), np.empty((0, 5)), "no clips to score"),
        (row_moments, np.empty((0, 5)), np.empty((0, 5)), "no clips to score"),
        (exact_metrics, TRUE, PRED[:3], r"found \(4, 1\) and \(3, 1\)"),
        (exact_metrics, TRUE, PRED[:, 0], r"found \(4, 1\) and \(4,\)"),
        (exact_metrics, TRUE, np.hstack([PRED, PRED]), r"found \(4, 1\) and \(4, 2\)"),
    ],
)
def test_bad_scores_are_an_error(compute, true, pred, message):
    with pytest.raises(ValueError, match=message):
        compute(true, pred)


def test_moments_have_the_values_computed_by_hand():
    found = row_moments(np.array([[0.6], [0.9]]), np.array([[0.7], [0.5]]))
    expected = [[1, 0.1, 0.2, 0.01, 0.04, 0.02, 0.1], [1, 0.4, 0, 0.16, 0, 0, 0.4]]
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-15)


@given(true=SCORES, pred=SCORES)
def test_metrics_from_moments_equal_the_exact_metrics(true, pred):
    assert_equal_metrics(from_moments(true, pred), exact_metrics(true, pred))


def test_moments_can_be_weighted_by_the_counts_of_a_resample():
    true, pred = np.random.default_rng(0).random((2, 6, 5))
    counts = np.array([1, 0, 3, 2, 1, 4])
    found = metrics_from_moments(np.tensordot(counts, row_moments(true, pred), axes=1))
    repeated = (np.repeat(scores, counts, axis=0) for scores in (true, pred))
    assert_equal_metrics(found, exact_metrics(*repeated))


@pytest.mark.parametrize("constant", [0.0, 0.1, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("offset", [0.0, 0.2])
def test_constant_columns_give_the_exact_metrics(constant, offset):
    varied = np.random.default_rng(3).random((1000, 1))
    flat = np.full((1000, 1), constant)
    for true, pred in ((flat, flat + offset), (flat, varied), (varied, flat)):
        assert_equal_metrics(from_moments(true, pred), exact_metrics(true, pred))


@pytest.mark.parametrize("deviation", [1e-8, 1e-5, 1e-4])
def test_nearly_constant_columns_give_the_exact_metrics(deviation):
    numbers = np.random.default_rng(4)
    true = 0.6 + deviation * numbers.normal(size=(500, 1))
    pred = true + deviation * numbers.normal(size=(500, 1))
    expected = exact_metrics(true, pred)
    assert_equal_metrics(from_moments(true, pred), expected, tolerance=1e-4)
    assert (expected["pcc"] == 0) == (deviation == 1e-8)


@pytest.mark.parametrize("ulps", [[0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 3, -2, 1, 0]])
def test_rounded_sums_of_a_perfect_prediction_give_no_error(ulps):
    scores = np.random.default_rng(6).random((1000, 5))
    rounding = 1 + np.spacing(1.0) * np.array(ulps)
    found = metrics_from_moments(row_moments(scores, scores).sum(axis=0) * rounding[:, None])
    assert (found["mse"] == 0).all()
    assert (found["r2"] == 1).all()


def test_a_tiny_error_gives_no_negative_mse():
    scores = np.random.default_rng(8).random((1000, 50))
    assert (from_moments(scores, scores * (1 + 1e-10))["mse"] >= 0).all()


def test_zero_weight_gives_nan():
    found = metrics_from_moments(np.zeros((7, 5)))
    assert all(np.isnan(values).all() for values in found.values())


@pytest.mark.parametrize("trait_names", [("interview",), ("honesty", "humility", "interview")])
def test_any_traits_have_metrics_by_name(trait_names):
    numbers = np.random.default_rng(0)
    true, pred = numbers.random((2, 20, len(trait_names)))
    errors = np.abs(true - pred).mean(axis=0)
    found = trait_metrics(true, pred, trait_names=trait_names)["mae"]
    assert found == pytest.approx(
        {**dict(zip(trait_names, errors, strict=True)), "mean": errors.mean()}
    )
