import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.figures.residuals import (
    binned_mean,
    describe_residuals,
    draw_residuals,
    residuals_data,
)


@pytest.fixture
def scores():
    y_true = np.tile(np.linspace(0.05, 0.95, 120)[:, None], (1, 5))
    return y_true, 0.5 + 0.5 * (y_true - 0.5) + 0.1


def test_bias_and_deviation_are_those_of_predicted_minus_annotated(scores):
    y_true, y_pred = scores
    data = residuals_data(y_true, y_pred)
    assert data.bias == pytest.approx(np.full(5, 0.1))
    assert data.deviation == pytest.approx((y_pred - y_true).std(axis=0))


def test_every_clip_is_counted(scores):
    data = residuals_data(*scores)
    assert data.counts.sum(axis=1).tolist() == [120] * 5
    assert data.edges[0] == -data.edges[-1]


def test_a_timid_model_shows_as_a_falling_trend(scores):
    trend = residuals_data(*scores).trend[0]
    assert (np.diff(trend) < 0).all()
    assert trend[0] == pytest.approx(0.1 + 0.5 * 0.42, abs=0.03)


@given(
    st.lists(st.tuples(st.floats(-0.5, 1.5), st.floats(-1, 1)), min_size=1, max_size=60),
)
def test_binned_means_weighted_by_their_counts_give_the_mean(pairs):
    keys, values = np.array(pairs).T
    means, counts = binned_mean(keys, values, np.array([0.0, 0.5, 1.0]))
    assert counts.sum() == len(pairs)
    if (counts[counts > 0] >= 5).all():
        assert np.nansum(means * counts) / len(pairs) == pytest.approx(values.mean(), abs=1e-9)


def test_a_bin_of_few_clips_has_no_mean():
    means, counts = binned_mean(np.array([0.1] * 5 + [0.9] * 4), np.ones(9), np.linspace(0, 1, 3))
    assert counts.tolist() == [5, 4]
    assert means[0] == 1
    assert np.isnan(means[1])


def test_exact_predictions_can_be_drawn(texts_of):
    y_true = np.full((4, 5), 0.5)
    figure = draw_residuals(residuals_data(y_true, y_true, "test"))
    assert "Errors of 4 test clips" in texts_of(figure)
    assert any("mean 0.000 · SD 0.000" in text for text in texts_of(figure))


def test_the_counts_begin_at_zero(scores):
    figure = draw_residuals(residuals_data(*scores))
    assert [axes.get_ylim()[0] for axes in figure.axes[:5]] == [0] * 5


def test_the_alt_text_tells_the_numbers(scores):
    sentence = describe_residuals(residuals_data(*scores, "validation"))
    assert sentence.startswith(
        "Mean error, predicted minus annotated, of 120 validation clips: openness +0.100 (SD 0.131)"
    )
