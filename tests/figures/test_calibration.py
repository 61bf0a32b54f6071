import numpy as np
import pytest

from pipeline.figures.calibration import calibration_data, describe_calibration, draw_calibration


def scores(slope=1.0, num_clips=200):
    y_pred = np.tile(np.linspace(0.2, 0.8, num_clips)[:, None], (1, 5))
    return 0.5 + slope * (y_pred - 0.5), y_pred


@pytest.mark.parametrize("slope", [0.5, 1.0, 1.6])
def test_the_slope_is_that_of_annotated_over_predicted_scores(slope):
    assert calibration_data(*scores(slope)).slope == pytest.approx(np.full(5, slope))


def test_calibrated_scores_lie_on_the_diagonal():
    data = calibration_data(*scores())
    shown = np.isfinite(data.mean_true)
    assert shown.any()
    assert data.mean_true[shown] == pytest.approx(data.mean_pred[shown])


def test_every_clip_is_counted_and_thin_bins_are_not_shown():
    y_true, y_pred = scores(num_clips=20)
    data = calibration_data(y_true, y_pred)
    assert data.counts.sum(axis=1).tolist() == [20] * 5
    assert np.isnan(data.mean_true).all()
    assert draw_calibration(data).axes


def test_a_constant_prediction_has_no_slope(texts_of):
    y_true, y_pred = scores()
    y_pred[:, 1] = 0.5
    data = calibration_data(y_true, y_pred)
    assert np.isnan(data.slope).tolist() == [False, True, False, False, False]
    assert "slope undefined" in texts_of(draw_calibration(data))
    assert "conscientiousness undefined" in describe_calibration(data)


def test_the_alt_text_tells_the_numbers():
    assert "openness 1.60, conscientiousness 1.60" in describe_calibration(
        calibration_data(*scores(1.6))
    )
