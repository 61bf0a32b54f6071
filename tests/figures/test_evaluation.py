"""Values in the figures of predictions and scores."""

import numpy as np
import pytest

from pipeline.core.traits import TRAITS
from pipeline.figures.base.spec import NothingToDraw
from pipeline.figures.evaluation.predictions import binned_mean, score_limits
from pipeline.metrics.regression import exact_metrics
from tests.figures.conftest import make_evaluation, texts_of


def noisy_scores(num_clips):
    numbers = np.random.default_rng(0)
    y_true = numbers.uniform(0.2, 0.8, (num_clips, 5))
    return {"y_true": y_true, "y_pred": y_true + numbers.normal(0, 0.05, (num_clips, 5))}


def linear_scores(slope=1.0, num_clips=200):
    y_pred = np.tile(np.linspace(0.2, 0.8, num_clips)[:, None], (1, 5))
    return {"y_true": 0.5 + slope * (y_pred - 0.5), "y_pred": y_pred}


def test_model_and_baselines_are_drawn(draw):
    figure = draw("scores_and_baselines")
    lines = [line for line in figure.axes[1].lines if line.get_marker() != "None"]
    points = [np.unique(line.get_xdata()).tolist() for line in lines]
    assert points == [[0.2], [0.3]] + [[0.5]] * 6
    assert {"model, 95 % interval", "training mean", "ridge"} <= set(texts_of(figure))


def test_the_legend_omits_a_missing_interval(draw):
    evaluation = make_evaluation()
    for rows in evaluation["metrics"].values():
        for row in rows.values():
            row |= {"low": None, "high": None}
    assert "model" in texts_of(draw("scores_and_baselines", evaluation=evaluation))


def test_each_trait_counts_every_clip(build):
    scores = noisy_scores(500)
    data = build("predictions_vs_truth", **scores)
    assert data.density.sum(axis=(1, 2)).tolist() == [500] * 5
    assert data.ccc == pytest.approx(exact_metrics(scores["y_true"], scores["y_pred"])["ccc"])


def test_few_clips_are_drawn_as_points_and_many_as_a_density(draw):
    few = draw("predictions_vs_truth", **noisy_scores(50)).axes[0]
    many = draw("predictions_vs_truth", **noisy_scores(500)).axes[0]
    assert len(few.lines[0].get_xdata()) == 50
    assert (len(few.images), len(many.images)) == (0, 1)


def test_all_panels_have_the_same_limits(draw):
    scores = noisy_scores(50)
    scores["y_pred"][0, 3] = 1.14
    limits = {axes.get_xlim() for axes in draw("predictions_vs_truth", **scores).axes[:5]}
    assert limits == {score_limits(scores["y_true"], scores["y_pred"])}
    assert limits.pop()[1] == pytest.approx(1.2)


def test_residuals_are_predicted_minus_annotated_scores(build):
    y_true = np.tile(np.linspace(0.05, 0.95, 120)[:, None], (1, 5))
    y_pred = 0.6 + 0.5 * (y_true - 0.5)
    data = build("residuals", y_true=y_true, y_pred=y_pred)
    assert data.bias == pytest.approx(np.full(5, 0.1))
    assert data.deviation == pytest.approx((y_pred - y_true).std(axis=0))
    assert data.counts.sum(axis=1).tolist() == [120] * 5
    assert data.edges[0] == -data.edges[-1]
    assert (np.diff(data.trend[0]) < 0).all()
    assert data.trend[0][0] == pytest.approx(0.1 + 0.5 * 0.42, abs=0.03)


def test_a_bin_of_few_clips_has_no_mean():
    keys, values = np.array([-0.5] * 2 + [0.1] * 3 + [1.9] * 4), np.arange(9.0)
    means, counts = binned_mean(keys, values, np.linspace(0, 1, 3))
    assert counts.tolist() == [5, 4]
    assert means == pytest.approx([2.0, np.nan], nan_ok=True)


@pytest.mark.parametrize("slope", [0.5, 1.0, 1.6])
def test_the_slope_is_from_the_regression_on_predicted_scores(build, slope):
    data = build("calibration", **linear_scores(slope))
    shown = np.isfinite(data.mean_true)
    assert data.slope == pytest.approx(np.full(5, slope))
    expected = 0.5 + slope * (data.mean_pred[shown] - 0.5)
    assert data.mean_true[shown] == pytest.approx(expected)


def test_a_constant_prediction_has_no_slope(build, draw):
    scores = linear_scores()
    scores["y_pred"][:, 1] = 0.5
    assert np.isnan(build("calibration", **scores).slope).tolist() == [False, True, *[False] * 3]
    texts = texts_of(draw("calibration", **scores))
    assert any("slope undefined" in text for text in texts)


@pytest.mark.parametrize(("num_clips", "width"), [(20, 0.2), (40, 0.1), (200, 0.05)])
def test_few_clips_have_wider_bins(build, num_clips, width):
    edges = build("calibration", **linear_scores(num_clips=num_clips)).edges
    assert np.diff(edges) == pytest.approx(np.full(len(edges) - 1, width))


def test_very_few_clips_have_no_calibration(build):
    with pytest.raises(NothingToDraw, match="at least 20 clips, but there are 12"):
        build("calibration", **linear_scores(num_clips=12))


def test_the_legend_of_the_residuals_names_the_traits(draw):
    legend = draw("residuals").legends[0].get_texts()
    assert [text.get_text() for text in legend] == list(TRAITS)


def test_trait_correlations_equal_those_of_numpy(build, draw):
    scores = noisy_scores(40)
    true, predicted = (np.corrcoef(values.T) for values in scores.values())
    data = build("trait_correlations", **scores)
    assert data.true == pytest.approx(true)
    assert data.difference == pytest.approx(predicted - true)
    scores["y_pred"][:, 2] = 0.5
    figure = draw("trait_correlations", **scores)
    assert [len(axes.texts) for axes in figure.axes[:3]] == [25, 16, 16]
    assert {axes.images[0].get_clim() for axes in figure.axes[:3]} == {(-1, 1)}


@pytest.mark.parametrize("name", ["predictions_vs_truth", "residuals"])
def test_constant_scores_can_be_drawn(draw, name):
    constant = np.full((4, 5), 0.5)
    assert draw(name, y_true=constant, y_pred=constant).axes


@pytest.mark.parametrize(
    ("name", "num_clips", "message"),
    [("predictions_vs_truth", 0, "no clips"), ("trait_correlations", 2, "at least 3 clips")],
)
def test_the_error_names_too_few_clips(build, name, num_clips, message):
    scores = np.full((num_clips, 5), 0.5)
    with pytest.raises(NothingToDraw, match=message):
        build(name, y_true=scores, y_pred=scores)
