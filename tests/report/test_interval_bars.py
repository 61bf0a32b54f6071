"""Intervals stand where their numbers say."""

import pytest

from pipeline.report.interval_bars import interval_strips


def test_positions_follow_the_values(records_with, scores):
    evaluation = records_with(
        evaluation={
            "metrics": scores(r2=(1.0, 0.5, 1.0)),
            "baselines": {"ridge": scores(r2=(0.0, 0.0, 0.25))},
        }
    ).evaluation

    strip, _ = interval_strips(evaluation)

    # The axis reaches 4 % further than the values on both sides: from -0.04 to 1.04.
    model, ridge = strip.bars
    assert model.point == pytest.approx(100 * 1.04 / 1.08, abs=0.01)
    assert model.left == pytest.approx(100 * 0.54 / 1.08, abs=0.01)
    assert model.width == pytest.approx(100 * 0.5 / 1.08, abs=0.01)
    assert ridge.point == strip.zero == pytest.approx(100 * 0.04 / 1.08, abs=0.01)


def test_the_model_stands_first_and_baselines_from_best_to_worst(records_with):
    strip, _ = interval_strips(records_with().evaluation)

    assert [bar.label for bar in strip.bars] == [
        "this model",
        "same-group mean",
        "ridge regression",
        "training mean",
    ]
    assert [bar.is_rival for bar in strip.bars] == [True, False, True, True]
    assert [bar.is_model for bar in strip.bars] == [True, False, False, False]


def test_zero_is_left_out_where_no_value_is_near_it(records_with):
    r2, accuracy = interval_strips(records_with().evaluation)

    assert r2.zero is not None
    assert accuracy.zero is None
    assert accuracy.title == "Accuracy"


def test_equal_values_without_intervals_stand_in_the_middle(records_with, scores):
    alike = scores(r2=(0.3, None, None))

    strip, _ = interval_strips(
        records_with(evaluation={"metrics": alike, "baselines": {"ridge": alike}}).evaluation
    )

    assert {bar.point for bar in strip.bars} == {50.0}
    assert {bar.width for bar in strip.bars} == {0.0}
    assert strip.bars[0].interval == ""


def test_everything_stands_on_the_axis(records_with):
    for strip in interval_strips(records_with().evaluation):
        for bar in strip.bars:
            assert 0 <= bar.left <= bar.point <= bar.left + bar.width <= 100
