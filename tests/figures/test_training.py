"""Values in the training figures: curves, traits, learning rate, steps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.figures.base.curves import read_curve, readable_limits
from pipeline.figures.base.spec import NothingToDraw
from pipeline.figures.evaluation.correlations import correlation_matrix
from pipeline.figures.training.steps import running_mean
from tests.figures.conftest import make_history, records_of, texts_of


def curve_of(content, *names):
    return read_curve(records_of({"history": content})["history"], *names)


def loss_curve(train, validation):
    numbers = list(range(1, len(train) + 1))
    epoch = {"loss": train, "val_loss": validation, "epoch_numbers": numbers}
    return curve_of({"epoch": epoch}, "loss")


def test_a_curve_has_both_subsets(history):
    curve = curve_of(history, "mae")
    assert curve.epochs.tolist() == [1, 2, 3, 4]
    assert curve.train == pytest.approx([0.5, 0.48, 0.46, 0.44])
    assert curve.validation == pytest.approx([0.6, 0.58, 0.56, 0.54])
    assert curve_of(history, "ccc", "openness").validation[0] == pytest.approx(0.61)


def test_lower_is_better_for_errors_and_higher_for_agreement(history):
    history["epoch"]["val_metrics"]["mae"] = [0.4, 0.1, 0.3, 0.2]
    history["epoch"]["val_metrics"]["ccc"] = [0.4, 0.1, 0.3, 0.2]
    assert curve_of(history, "mae").best_epoch == 2
    assert curve_of(history, "ccc").best_epoch == 1
    assert curve_of(history, "ccc").best_value == 0.4


def test_without_validation_the_training_values_select_the_best_epoch():
    curve = curve_of(make_history(validation=False), "loss")
    assert (curve.subset, curve.validation) == ("training", None)
    assert curve.best_value == pytest.approx(0.27)


def test_a_null_is_a_gap_and_never_the_best_value(history):
    history["epoch"]["val_loss"] = [None, 0.5, None, 0.7]
    curve = curve_of(history, "loss")
    assert np.isnan(curve.validation).tolist() == [True, False, True, False]
    assert curve.best_epoch == 2


def vertical_lines(axes):
    """Return the positions of the dotted vertical lines."""
    return [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"]


def test_every_panel_marks_the_epoch_of_the_saved_model(draw):
    figure = draw("training_dashboard", best_epoch=2)
    assert [vertical_lines(axes) for axes in figure.axes[:3]] == [[2]] * 3
    texts = texts_of(figure)
    assert {"0.5800 in epoch 2", "saved model: epoch 2"} <= set(texts)


@pytest.mark.parametrize(
    ("best_epoch", "label"), [(None, []), (0, ["saved model: ridge regression (epoch 0)"])]
)
def test_an_unknown_saved_epoch_and_epoch_0_have_no_line(draw, best_epoch, label):
    figure = draw("train_val_mae", best_epoch=best_epoch)
    assert vertical_lines(figure.axes[0]) == []
    assert [text for text in texts_of(figure) if "saved" in text] == label


def test_the_best_value_is_described(describe):
    assert "0.5400 in epoch 4" in describe("train_val_mae")


def test_the_figure_of_all_traits_has_one_curve_per_trait(draw):
    figure = draw("trait_metrics", best_epoch=3)
    maes = [line.get_ydata()[0] for line in figure.axes[0].lines[:5]]
    assert maes == pytest.approx([0.61, 0.62, 0.63, 0.64, 0.65])
    assert [vertical_lines(axes) for axes in figure.axes] == [[3]] * 4


def test_one_epoch_is_a_point(draw):
    axes = draw("train_val_mae", history=make_history(1)).axes[0]
    assert axes.get_xticks().tolist() == [1]
    assert all(line.get_marker() == "o" for line in axes.lines if len(line.get_xdata()) == 1)


def test_a_flat_curve_has_no_best_epoch(draw, history):
    history["epoch"]["val_metrics"]["pcc"] = [0.0] * 4
    assert "0.000 in every epoch" in texts_of(draw("train_val_pcc"))


@pytest.mark.parametrize(("end", "scale"), [(0.1, "log"), (0.11, "linear"), (-0.5, "linear")])
def test_the_axis_is_logarithmic_if_the_loss_falls_tenfold(specs, end, scale):
    curve = loss_curve([1.0, 0.5, 0.2, end], None)
    assert curve.is_logarithmic == (scale == "log")
    assert specs["train_val_loss"].draw(curve).axes[0].get_yscale() == scale


def test_the_axis_cuts_an_extreme_first_epoch_and_a_note_names_it(build, specs):
    train, validation = [-52.0, 0.1, 0.2, 0.3, 0.35], [-50.0, 0.1, 0.2, 0.3, 0.3]
    epoch = {"epoch_numbers": [1, 2, 3, 4, 5], "metrics": {"r2": train}}
    history = {"epoch": epoch | {"val_metrics": {"r2": validation}}}
    curve = build("train_val_r_squared", history=history)
    figure = specs["train_val_r_squared"].draw(curve)
    assert readable_limits(curve) == pytest.approx((0.08, 0.37))
    assert figure.axes[0].get_ylim() == pytest.approx((0.08, 0.37))
    assert "▼ epoch 1: −50.000" in texts_of(figure)


def test_long_tick_labels_widen_the_axis(specs):
    (axes,) = specs["train_val_loss"].draw(loss_curve([0.016055], [0.016071])).axes
    axes.figure.canvas.draw()
    assert max(len(label.get_text()) for label in axes.get_yticklabels()) <= 7
    low, high = axes.get_ylim()
    assert low < 0.016055
    assert high > 0.016071


def test_a_trait_has_its_own_curves_and_the_mean(build):
    data = build("trait_Neuroticism_metrics")
    assert data.curves["mae"].validation[0] == pytest.approx(0.65)
    assert data.means["mae"][0] == pytest.approx(0.6)
    assert not data.is_constant


def test_a_constant_trait_is_noted(draw, describe, history):
    for subset in ("metrics", "val_metrics"):
        history["epoch"][subset] |= {"pcc_openness": [0.0] * 4, "ccc_openness": [0.0] * 4}
    assert any("are constant" in text for text in texts_of(draw("trait_Openness_metrics")))
    assert "PCC" not in describe("trait_Openness_metrics")


def test_a_missing_metric_leaves_its_panel_empty(build, draw, history):
    for subset in ("metrics", "val_metrics"):
        del history["epoch"][subset]["r2_openness"]
    assert list(build("trait_Openness_metrics").curves) == ["mae", "pcc", "ccc"]
    assert not draw("trait_Openness_metrics").axes[1].axison


@pytest.mark.parametrize(("best_epoch", "expected"), [(None, 2), (0, 2), (3, 3)])
def test_traits_are_compared_in_the_epoch_of_the_saved_model(build, history, best_epoch, expected):
    history["epoch"]["val_metrics"]["mae"] = [0.4, 0.1, 0.3, 0.2]
    assert build("trait_comparison", best_epoch=best_epoch).epoch == expected


def test_traits_are_compared_in_the_epoch_with_the_best_mae(build, history):
    history["epoch"]["val_metrics"]["mae"] = [0.4, 0.1, 0.3, 0.2]
    data = build("trait_comparison")
    assert data.epoch == 2
    assert data.values["mae"] == pytest.approx([0.59, 0.60, 0.61, 0.62, 0.63])
    assert data.train["mae"] == pytest.approx([0.49, 0.50, 0.51, 0.52, 0.53])


@pytest.mark.parametrize(("validation", "openness"), [(True, 0.55), (False, 0.45)])
def test_bars_start_at_zero_and_show_the_scores(draw, validation, openness):
    bars = draw("trait_comparison", history=make_history(validation=validation)).axes[0].patches
    expected = [openness + 0.01 * trait for trait in range(5)]
    assert [bar.get_x() for bar in bars] == [0] * 5
    assert [bar.get_width() for bar in bars] == pytest.approx(expected)


@pytest.mark.parametrize("value", [-0.00614, -0.287, 0.000004, -123.456, float("nan")])
def test_values_beside_bars_have_at_most_seven_characters(draw, history, value):
    history["epoch"]["val_metrics"]["r2_openness"] = [value] * 4
    texts = texts_of(draw("trait_comparison"))
    assert max(len(text) for text in texts if text[0] in "−–0123456789") <= 7


def test_empty_panels_of_the_dashboard_name_missing_data(draw, history):
    history["epoch"] |= {"metrics": {}, "val_metrics": {}}
    texts = texts_of(draw("training_dashboard", lr_logs=None, time_logs=None))
    assert {"no MAE (score units)", "no learning rate", "no times"} <= set(texts)


@pytest.mark.parametrize(
    ("rates", "reductions", "cuts"),
    [
        ([1e-2, 1e-2, 1e-3, 1e-3], [False, False, True, False], [3]),
        ([4e-3, 3e-3, 2e-3, 1e-3], [False, True, True, True], []),
        ([4e-3, 4e-3, 2e-3, 1e-3], [False, True, True, True], []),
    ],
)
def test_reductions_of_a_constant_rate_are_marked(build, lr_logs, rates, reductions, cuts):
    logs = lr_logs | {"learning_rate": rates, "is_reduction": reductions}
    assert build("learning_rate_changes", lr_logs=logs).reduction_epochs.tolist() == cuts


def test_steps_are_drawn_at_their_fraction_of_an_epoch(build, history):
    data = build("learning_rate_changes")
    assert data.step_epochs[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert data.step_epochs[-1] == 4
    steps = {"batch_numbers": list(range(2, 21, 2)), "learning_rate": [0.001] * 10}
    history["batch"] = steps
    assert build("learning_rate_changes", history=history).step_epochs[-1] == 4


def test_a_running_mean_is_centred_and_ignores_gaps():
    assert running_mean(np.array([1.0, 2.0, 3.0, 10.0]), 3) == pytest.approx([1.5, 2.0, 5.0, 6.5])
    mean = running_mean(np.array([1.0, np.nan, 3.0, np.nan, np.nan, np.nan]), 3)
    assert mean[:4] == pytest.approx([1.0, 2.0, 3.0, 3.0])
    assert np.isnan(mean[5])


def test_every_step_is_drawn_with_its_value(draw, history):
    line = draw("batch_performance").axes[0].lines[0]
    assert line.get_xdata().tolist() == list(range(1, 21))
    assert line.get_ydata().tolist() == history["batch"]["loss"]


@pytest.mark.parametrize(("num_epochs", "window"), [(1, 1), (4, 2), (50, 5)])
def test_the_mean_covers_at_most_an_epoch_and_a_tenth_of_the_run(build, num_epochs, window):
    assert build("batch_performance", history=make_history(num_epochs)).window == window


@given(arrays(float, (3, 8), elements=st.integers(-5, 5).map(float)))
def test_the_correlation_matrix_equals_numpy_if_series_vary(values):
    found = correlation_matrix(values)
    flat = values.std(axis=1) == 0
    assert np.isnan(found[flat]).all()
    if (~flat).sum() > 1:
        expected = np.corrcoef(values[~flat])
        assert found[np.ix_(~flat, ~flat)] == pytest.approx(expected, abs=1e-12)


def test_a_series_that_differs_only_by_rounding_is_constant():
    values = np.array([[0.1, 0.1 + 1e-16, 0.1], [1.0, 2.0, 3.0]])
    assert np.isnan(correlation_matrix(values)[0]).all()


def test_metrics_are_correlated_over_the_complete_epochs(build):
    history = make_history(6)
    history["epoch"]["val_metrics"]["pcc"][2] = None
    data = build("metrics_correlation_matrix", history=history)
    row, column = (data.names.index(f"validation {name}") for name in ("loss", "CCC"))
    assert data.num_epochs == 5
    assert data.correlation[row, column] == pytest.approx(-1)


@pytest.mark.parametrize(
    ("name", "history", "message"),
    [
        ("trait_Openness_metrics", {"epoch": {"epoch_numbers": [1]}}, "no metric of openness"),
        ("batch_performance", make_history() | {"batch": {"batch_numbers": [1]}}, "without loss"),
        ("metrics_correlation_matrix", make_history(2), "at least 3 epochs"),
    ],
)
def test_the_error_names_missing_values(build, name, history, message):
    with pytest.raises(NothingToDraw, match=message):
        build(name, history=history)


@pytest.mark.parametrize(("metric", "trait"), [("roc_auc", "openness"), ("roc_auc", None)])
def test_an_unknown_metric_is_nothing_to_draw(history, metric, trait):
    with pytest.raises(NothingToDraw, match=f"contains no {metric}"):
        curve_of(history, metric, trait)
