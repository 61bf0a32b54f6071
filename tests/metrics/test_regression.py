import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.core.traits import TRAITS
from pipeline.metrics import regression
from pipeline.metrics.regression import HIGHER_IS_BETTER, METRICS, trait_metrics

FUNCTIONS = (
    regression.accuracy,
    regression.mean_absolute_error,
    regression.mean_squared_error,
    regression.r_squared,
    regression.pearson,
    regression.concordance,
)
TRUE = np.array([[0.2], [0.4], [0.6], [0.8]])
PRED = np.array([[0.3], [0.4], [0.4], [0.7]])
SCORES = hnp.arrays(np.int64, (12, 2), elements=st.integers(0, 1000)).map(lambda a: a / 1000)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (regression.accuracy, 0.9),
        (regression.mean_absolute_error, 0.1),
        (regression.mean_squared_error, 0.015),
        (regression.r_squared, 1 - 0.015 / 0.05),
        (regression.pearson, 0.03 / np.sqrt(0.05 * 0.0225)),
        (regression.concordance, 2 * 0.03 / (0.05 + 0.0225 + 0.05**2)),
    ],
)
def test_metric_has_the_value_computed_by_hand(function, expected):
    np.testing.assert_allclose(function(TRUE, PRED), [expected], rtol=1e-12)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_whole_weights_count_a_clip_that_often(function):
    weight = np.array([1, 0, 3, 2])
    np.testing.assert_allclose(
        function(TRUE, PRED, weight),
        function(np.repeat(TRUE, weight, axis=0), np.repeat(PRED, weight, axis=0)),
        rtol=1e-12,
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_equal_those_of_scikit_learn_and_scipy(weighted):
    numbers = np.random.default_rng(1)
    true = numbers.random((80, 5))
    pred = true + numbers.normal(0, 0.2, true.shape)
    weight = numbers.random(80) if weighted else None
    options = {"sample_weight": weight, "multioutput": "raw_values"}
    for ours, theirs in (
        (regression.mean_absolute_error, sklearn.metrics.mean_absolute_error),
        (regression.mean_squared_error, sklearn.metrics.mean_squared_error),
        (regression.r_squared, sklearn.metrics.r2_score),
    ):
        np.testing.assert_allclose(ours(true, pred, weight), theirs(true, pred, **options))
    if not weighted:
        expected = scipy.stats.pearsonr(true, pred, axis=0).statistic
        np.testing.assert_allclose(regression.pearson(true, pred), expected)


def test_r_squared_is_not_clipped_at_zero():
    assert regression.r_squared(TRUE, 1 - TRUE)[0] == pytest.approx(-3.0)


@pytest.mark.parametrize(("offset", "expected"), [(0.0, 1.0), (0.1, 0.0)])
def test_r_squared_of_a_constant_truth_follows_scikit_learn(offset, expected):
    true = np.full((6, 1), 0.3)
    assert regression.r_squared(true, true + offset)[0] == expected
    assert sklearn.metrics.r2_score(true, true + offset) == expected


@pytest.mark.parametrize("function", [regression.pearson, regression.concordance])
@pytest.mark.parametrize(
    ("true", "pred"),
    [(np.full((4, 1), 0.1), PRED), (TRUE, np.full((4, 1), 0.1)), (PRED * 0 + 0.7,) * 2],
    ids=["constant truth", "constant prediction", "both constant and equal"],
)
def test_correlation_with_a_constant_column_is_zero(function, true, pred):
    assert function(true, pred).tolist() == [0.0]


def test_noise_in_the_last_digit_of_float32_counts_as_constant():
    pred = np.full((4, 1), 0.7, dtype=np.float32)
    pred[2] = np.nextafter(pred[2], np.float32(1))
    assert regression.pearson(TRUE, pred).tolist() == [0.0]


def test_pearson_ignores_an_offset_and_concordance_does_not():
    shifted = TRUE + 0.1
    assert regression.pearson(TRUE, shifted)[0] == pytest.approx(1.0)
    assert regression.concordance(TRUE, shifted)[0] == pytest.approx(0.1 / 0.11)


def test_a_nan_score_shows_in_its_own_trait_only():
    true, pred = np.hstack([TRUE, TRUE]), np.hstack([PRED, PRED])
    pred[1, 0] = np.nan
    for function in FUNCTIONS:
        assert np.isnan(function(true, pred)).tolist() == [True, False]


@given(true=SCORES, pred=SCORES)
def test_correlations_stay_within_one(true, pred):
    for function in (regression.pearson, regression.concordance):
        assert (np.abs(function(true, pred)) <= 1).all()


@given(true=SCORES, pred=SCORES)
def test_concordance_is_never_above_pearson(true, pred):
    pcc, ccc = regression.pearson(true, pred), regression.concordance(true, pred)
    assert (np.abs(ccc) <= np.abs(pcc) + 1e-12).all()


@given(true=SCORES, pred=SCORES, order=st.permutations(range(12)))
def test_metrics_do_not_depend_on_the_order_of_clips(true, pred, order):
    for function in FUNCTIONS:
        np.testing.assert_allclose(
            function(true[order], pred[order]), function(true, pred), rtol=1e-9, atol=1e-9
        )


@given(true=SCORES)
def test_a_perfect_prediction_is_never_beaten(true):
    assert (regression.accuracy(true, true) == 1).all()
    assert (regression.r_squared(true, true) == 1).all()


def test_trait_metrics_names_every_trait_and_their_mean():
    numbers = np.random.default_rng(2)
    true, pred = numbers.random((2, 9, 5))
    result = trait_metrics(true, pred)
    assert tuple(result) == METRICS == tuple(HIGHER_IS_BETTER)
    for metric, function in zip(METRICS, FUNCTIONS, strict=True):
        values = function(true, pred)
        assert result[metric] == {**dict(zip(TRAITS, values, strict=True)), "mean": values.mean()}


def test_trait_metrics_refuses_scores_that_are_not_of_five_traits():
    with pytest.raises(ValueError, match=r"shape \(5,\); found shape \(1,\)"):
        trait_metrics(TRUE, PRED)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_clips_are_refused(function):
    with pytest.raises(ValueError, match=r"no clips to score: y_true has shape \(0, 5\)"):
        function(np.empty((0, 5)), np.empty((0, 5)))


@pytest.mark.parametrize("pred", [PRED[:3], PRED[:, 0], np.hstack([PRED, PRED])])
def test_different_shapes_are_refused(pred):
    with pytest.raises(ValueError, match=r"found \(4, 1\) and"):
        regression.mean_absolute_error(TRUE, pred)


@pytest.mark.parametrize(
    "weight", [np.ones(3), np.ones((4, 1)), np.zeros(4), [1, 1, 1, -1], [1, 1, 1, np.nan]]
)
def test_unusable_weights_are_refused(weight):
    with pytest.raises(ValueError, match="sample_weight must"):
        regression.mean_absolute_error(TRUE, PRED, np.asarray(weight))
