import numpy as np
import pytest

from pipeline.core.traits import TRAITS
from pipeline.figures.scores import describe_scores, draw_scores, scores_data
from tests.figures.contents import on_contents

scores_data = on_contents(scores_data)


def intervals(value):
    row = {"value": value, "low": value - 0.1, "high": value + 0.1}
    return {
        metric: {name: dict(row) for name in ("mean", *TRAITS)}
        for metric in ("accuracy", "mae", "mse", "r2", "pcc", "ccc")
    }


@pytest.fixture
def evaluation():
    return {
        "split": "test",
        "num_clips": 1200,
        "confidence": 0.95,
        "metrics": intervals(0.5),
        "num_groups": 100,
        "num_resamples": 100,
        "baselines": {"training_mean": intervals(0.2), "ridge": intervals(0.3)},
        "baseline_differences": {"training_mean": intervals(0.3), "ridge": intervals(0.2)},
    }


def test_the_model_stands_beside_its_baselines(evaluation):
    data = scores_data(evaluation)
    assert data.value["mae"].tolist() == [0.5] * 6
    assert data.low["ccc"] == pytest.approx(np.full(6, 0.4))
    assert data.baselines["ridge"]["r2"].tolist() == [0.3] * 6


def test_baselines_are_named_in_the_legend(evaluation, texts_of):
    texts = texts_of(draw_scores(scores_data(evaluation)))
    assert {"model, 95 % interval", "training mean", "ridge"} <= set(texts)


def test_without_intervals_none_is_promised(evaluation, texts_of):
    for rows in evaluation["metrics"].values():
        for row in rows.values():
            row |= {"low": None, "high": None}
    data = scores_data(evaluation)
    assert not data.has_intervals
    assert "model" in texts_of(draw_scores(data))
    assert "no interval, as there is one group only" in describe_scores(data)


def test_the_alt_text_tells_the_numbers(evaluation):
    assert describe_scores(scores_data(evaluation)) == (
        "On 1,200 test clips the model has a mean MAE of 0.500 (95 % interval 0.400 to 0.600) and "
        "a mean CCC of 0.500; MAE of the baselines: training mean 0.200, ridge 0.300."
    )
