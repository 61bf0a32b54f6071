import copy

import numpy as np
import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.traits import TRAITS
from pipeline.figures.scores import describe_scores, draw_scores, scores_data


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
        "baselines": {"training_mean": intervals(0.2), "ridge": intervals(0.3)},
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


@pytest.mark.parametrize("lost", ["metrics", "baselines", "split", "confidence"])
def test_what_is_no_evaluation_is_refused(evaluation, lost):
    damaged = copy.deepcopy(evaluation)
    del damaged[lost]
    with pytest.raises(PipelineError, match=r"evaluation\.json: is not an evaluation.*again"):
        scores_data(damaged)
