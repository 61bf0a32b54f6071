"""The scores of both runs are bars from zero, with the intervals of their own."""

import numpy as np
import pytest

from pipeline.core.traits import TRAITS
from pipeline.figures.comparison_scores import (
    ROWS,
    SHOWN_METRICS,
    describe_score_pair,
    draw_score_pair,
    score_pair_data,
)
from pipeline.figures.spec import NothingToDraw
from tests.figures.contents import on_contents

score_pair_data = on_contents(score_pair_data)

NAMES = {"names": ["one", "other"]}


def evaluation(value, low=0.1, high=0.9, *, split="validation", num_clips=1200):
    return {
        "split": split,
        "num_clips": num_clips,
        "metrics": {
            metric: {row: {"value": value, "low": low, "high": high} for row in ("mean", *TRAITS)}
            for metric in ("r2", "ccc", "mae", "pcc", "mse", "accuracy")
        },
        "num_groups": 100,
        "num_resamples": 100,
        "confidence": 0.95,
        "baselines": {},
        "baseline_differences": {},
    }


def test_the_scores_of_both_runs_stand_side_by_side():
    data = score_pair_data(NAMES, evaluation(0.4), evaluation(0.5))

    assert (data.split, data.num_clips) == ("validation", 1200)
    assert data.value[0]["r2"].tolist() == [0.4] * len(ROWS)
    assert data.value[1]["r2"].tolist() == [0.5] * len(ROWS)


def test_every_row_has_a_bar_from_zero_for_each_run():
    figure = draw_score_pair(score_pair_data(NAMES, evaluation(0.4), evaluation(-0.5)))

    for axes in figure.axes:
        bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
        assert bars == [(0, 0.4)] * len(ROWS) + [(0, -0.5)] * len(ROWS)


def test_a_panel_says_whether_long_bars_are_good():
    figure = draw_score_pair(score_pair_data(NAMES, evaluation(0.4), evaluation(0.5)))

    told = {m: axes.get_title("right") for m, axes in zip(SHOWN_METRICS, figure.axes, strict=True)}
    assert told == {
        "r2": "longer is better",
        "ccc": "longer is better",
        "mae": "shorter is better",
    }


def test_scores_without_intervals_are_drawn_without():
    data = score_pair_data(NAMES, evaluation(0.4, None, None), evaluation(0.5, None, None))

    assert np.isnan(data.low[0]["r2"]).all()
    assert draw_score_pair(data).axes


@pytest.mark.parametrize("other", [{"split": "test"}, {"num_clips": 7}])
def test_runs_evaluated_on_other_clips_are_not_compared(other):
    with pytest.raises(NothingToDraw, match="one on 1200 validation clips, other on"):
        score_pair_data(NAMES, evaluation(0.4), evaluation(0.5, **other))


def test_the_words_tell_the_mean_scores():
    told = describe_score_pair(score_pair_data(NAMES, evaluation(0.4), evaluation(0.5)))

    assert told == (
        "Mean over the traits on 1,200 validation clips: one R² 0.400, CCC 0.400, MAE 0.400; "
        "other R² 0.500, CCC 0.500, MAE 0.500."
    )
