import numpy as np
import pytest

from pipeline.figures.predictions import (
    describe_predictions_vs_truth,
    draw_predictions_vs_truth,
    predictions_vs_truth_data,
    score_limits,
)
from pipeline.figures.spec import NothingToDraw
from pipeline.metrics.regression import concordance


def some_scores(num_clips):
    numbers = np.random.default_rng(0)
    y_true = numbers.uniform(0.2, 0.8, (num_clips, 5))
    return y_true, y_true + numbers.normal(0, 0.05, (num_clips, 5))


def test_every_clip_is_counted_once_a_trait():
    data = predictions_vs_truth_data(*some_scores(500))
    assert data.density.sum(axis=(1, 2)).tolist() == [500] * 5


def test_a_cell_counts_the_clips_with_its_scores():
    y_true = np.tile([[0.2], [0.8]], (1, 5))
    y_pred = np.tile([[0.8], [0.8]], (1, 5))
    data = predictions_vs_truth_data(y_true, y_pred)
    low, high = data.density[0][:, 0], data.density[0][:, -1]
    assert low.nonzero()[0].tolist() == high.nonzero()[0].tolist()  # both are predicted 0.8
    assert low.sum() == 1
    assert high.sum() == 1


def test_scores_agree_with_the_metrics():
    y_true, y_pred = some_scores(50)
    data = predictions_vs_truth_data(y_true, y_pred)
    assert data.ccc == pytest.approx(concordance(y_true, y_pred))


def test_few_clips_are_points_and_many_are_cells():
    few = draw_predictions_vs_truth(predictions_vs_truth_data(*some_scores(50)))
    many = draw_predictions_vs_truth(predictions_vs_truth_data(*some_scores(500)))
    assert len(few.axes[0].lines[0].get_xdata()) == 50
    assert not few.axes[0].images
    assert len(many.axes[0].images) == 1


def test_all_panels_share_limits_that_hold_every_score():
    y_true, y_pred = some_scores(50)
    y_pred[0, 3] = 1.14
    figure = draw_predictions_vs_truth(predictions_vs_truth_data(y_true, y_pred))
    limits = {axes.get_xlim() for axes in figure.axes[:5]}
    assert limits == {score_limits(y_true, y_pred)}
    assert limits.pop()[1] == pytest.approx(1.2)


def test_constant_scores_still_have_an_axis(texts_of):
    data = predictions_vs_truth_data(np.full((3, 5), 0.5), np.full((3, 5), 0.5))
    assert data.edges[-1] > data.edges[0]
    assert any("MAE 0.000 · CCC 0.00" in text for text in texts_of(draw_predictions_vs_truth(data)))


def test_no_clips_are_nothing_to_draw():
    with pytest.raises(NothingToDraw, match="no clips"):
        predictions_vs_truth_data(np.empty((0, 5)), np.empty((0, 5)))


def test_the_alt_text_tells_the_numbers():
    y_true = np.tile([[0.2], [0.4], [0.6]], (1, 5))
    sentence = describe_predictions_vs_truth(predictions_vs_truth_data(y_true, y_true, "test"))
    assert sentence.startswith(
        "Concordance of 3 test clips with the annotations: openness 1.00 (MAE 0.000), "
    )
