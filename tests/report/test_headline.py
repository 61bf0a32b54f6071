import math

import pytest

from pipeline.records.evaluation import Interval
from pipeline.report.headline import (
    BaselineResult,
    Outcome,
    baseline_results,
    headline,
    interval_bars,
)
from tests.report.conftest import make_scores

RIDGE = "ridge regression"
MEAN = {"r2": (0.0, -0.1, 0.1), "accuracy": (0.8, 0.79, 0.81)}
WINS = MEAN | {"r2": (0.3, 0.25, 0.35)}
NEAR = MEAN | {"r2": (0.44, 0.39, 0.49)}
LOSES = {"r2": (0.6, 0.55, 0.65), "accuracy": (0.95, 0.94, 0.96)}


def around(value):
    return Interval(value, value - 0.01, value + 0.01)


@pytest.mark.parametrize(
    ("metric", "difference", "expected"),
    [
        ("r2", around(0.1), Outcome.BETTER),
        ("r2", around(0.005), Outcome.AHEAD),
        ("r2", around(0.0), Outcome.EQUAL),
        ("r2", around(-0.005), Outcome.BEHIND),
        ("r2", around(-0.1), Outcome.WORSE),
        ("mae", around(-0.1), Outcome.BETTER),
        ("mae", around(0.1), Outcome.WORSE),
        ("r2", Interval(0.8), Outcome.AHEAD),
    ],
)
def test_the_paired_interval_determines_the_outcome(metric, difference, expected):
    scores = {"model_score": Interval(0.5), "baseline_score": Interval(0.5)}
    result = BaselineResult(metric=metric, baseline="ridge", difference=difference, **scores)
    assert result.outcome is expected


def test_every_legitimate_baseline_is_compared_in_both_metrics(records_with):
    shown = make_scores(r2=(0.15, -0.01, 0.31), accuracy=(0.02, 0.01, 0.03))
    results = baseline_results(records_with(differences={"ridge": shown}).evaluation)
    assert [(result.metric, result.baseline, result.outcome) for result in results] == [
        ("r2", "training_mean", Outcome.BETTER),
        ("r2", "ridge", Outcome.AHEAD),
        ("accuracy", "training_mean", Outcome.BETTER),
        ("accuracy", "ridge", Outcome.BETTER),
    ]
    assert baseline_results(None) == ()


@pytest.mark.parametrize(
    ("baselines", "expected"),
    [
        (
            {"training_mean": MEAN, "ridge": WINS},
            f"Better than the training mean and {RIDGE} in R² and",
        ),
        ({"ridge": NEAR}, f"Not shown to be better than {RIDGE} in R²; better than {RIDGE} in acc"),
        ({"ridge": LOSES}, f"Worse than {RIDGE} in R² and accuracy"),
        ({"same_group_mean": LOSES}, "Not compared with any baseline"),
    ],
)
def test_the_headline_claims_only_shown_differences(records_with, baselines, expected):
    named = {name: make_scores(**values) for name, values in baselines.items()}
    assert headline(records_with(evaluation={"baselines": named}).evaluation).startswith(expected)


def test_a_model_that_stays_at_ridge_is_not_compared_with_it(records_with):
    named = {name: make_scores(**MEAN) for name in ("training_mean", "ridge")}
    text = headline(records_with(evaluation={"baselines": named}).evaluation, is_ridge=True)
    assert text.startswith("The same as ridge regression; better than the training mean in R²")


def test_without_an_evaluation_the_headline_makes_no_claim():
    assert headline(None) == "There are no scores on held-out clips"


def test_bar_positions_are_percentages_of_the_axis(records_with):
    evaluation = records_with(
        evaluation={
            "metrics": make_scores(r2=(1.0, 0.5, 1.0)),
            "baselines": {"ridge": make_scores(r2=(0.0, 0.0, 0.25))},
        }
    ).evaluation
    r2, _ = interval_bars(evaluation)
    # The axis has a margin of 4 % on both sides: from -0.04 to 1.04.
    model, ridge = r2.bars
    assert model.point == pytest.approx(100 * 1.04 / 1.08, abs=0.01)
    assert model.left == pytest.approx(100 * 0.54 / 1.08, abs=0.01)
    assert model.width == pytest.approx(100 * 0.5 / 1.08, abs=0.01)
    assert ridge.point == r2.zero == pytest.approx(100 * 0.04 / 1.08, abs=0.01)


def test_the_model_comes_first_and_then_the_baselines_from_best_to_worst(records_with):
    r2, accuracy = interval_bars(records_with().evaluation)
    assert [(bar.label, bar.is_model, bar.is_legitimate) for bar in r2.bars] == [
        ("this model", True, True),
        ("same-group mean", False, False),
        ("ridge regression", False, True),
        ("training mean", False, True),
    ]
    assert r2.zero is not None
    assert (accuracy.title, accuracy.zero) == ("Accuracy", None)
    for bar in (*r2.bars, *accuracy.bars):
        assert 0 <= bar.left <= bar.point <= bar.left + bar.width <= 100


def test_equal_values_without_intervals_are_centred(records_with):
    same = make_scores(r2=(0.3, math.nan, math.nan))
    changed = {"metrics": same, "baselines": {"ridge": same}}
    r2, _ = interval_bars(records_with(evaluation=changed).evaluation)
    assert {(bar.point, bar.width, bar.interval) for bar in r2.bars} == {(50.0, 0.0, "")}
