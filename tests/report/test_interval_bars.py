import math

import pytest

from pipeline.report.interval_bars import interval_bars
from tests.report.conftest import make_scores


def test_positions_follow_the_values(records_with):
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
