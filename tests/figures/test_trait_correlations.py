import numpy as np
import pytest

from pipeline.figures.spec import NothingToDraw
from pipeline.figures.trait_correlations import (
    describe_trait_correlations,
    draw_trait_correlations,
    trait_correlations_data,
)


@pytest.fixture
def scores():
    numbers = np.random.default_rng(0)
    return numbers.random((40, 5)), numbers.random((40, 5))


def test_the_matrices_are_those_of_numpy(scores):
    data = trait_correlations_data(*scores)
    assert data.true == pytest.approx(np.corrcoef(scores[0].T))
    assert data.difference == pytest.approx(np.corrcoef(scores[1].T) - np.corrcoef(scores[0].T))


def test_a_constant_trait_leaves_its_cells_empty(scores):
    y_true, y_pred = scores
    y_pred[:, 2] = 0.5
    data = trait_correlations_data(y_true, y_pred)
    assert np.isnan(data.difference[2]).all()
    true, pred, difference = draw_trait_correlations(data).axes
    assert (len(true.texts), len(pred.texts), len(difference.texts)) == (25, 16, 16)


def test_the_alt_text_names_the_largest_difference():
    rising = np.linspace(0, 1, 5)
    y_true = np.tile(rising[:, None], (1, 5))
    y_pred = y_true.copy()
    y_pred[:, 4] = rising[::-1]
    sentence = describe_trait_correlations(trait_correlations_data(y_true, y_pred))
    assert "1.00 annotated, 0.200 predicted" in sentence
    assert "−2.00, is between neuroticism and openness" in sentence


def test_constant_predictions_have_no_correlations():
    y_true = np.random.default_rng(0).random((10, 5))
    sentence = describe_trait_correlations(trait_correlations_data(y_true, np.full((10, 5), 0.5)))
    assert sentence.startswith("No two traits vary")


def test_two_clips_are_nothing_to_draw():
    with pytest.raises(NothingToDraw, match="at least 3 clips; there are 2"):
        trait_correlations_data(np.zeros((2, 5)), np.zeros((2, 5)))
