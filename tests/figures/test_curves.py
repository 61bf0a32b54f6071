import numpy as np
import pytest

from pipeline.figures.curves import (
    FIGURES,
    describe_curve,
    draw_train_val,
    is_logarithmic,
    readable_limits,
    train_val_data,
)
from pipeline.figures.style import PAPER
from pipeline.metrics.regression import METRICS
from tests.figures.contents import on_contents, record_of

train_val_data = on_contents(train_val_data)


def with_loss(history, train, validation):
    numbers = list(range(1, len(train) + 1))
    history["epoch"] |= {"loss": train, "val_loss": validation, "epoch_numbers": numbers}
    return train_val_data(history, "loss")


def test_both_sides_are_drawn_where_they_are(history, texts_of):
    figure = draw_train_val(train_val_data(history, "mae"))
    drawn = [line.get_ydata() for line in figure.axes[0].lines]
    assert any(np.array_equal(line, [0.5, 0.48, 0.46, 0.44]) for line in drawn)
    assert any(len(line) == 4 and line[0] == pytest.approx(0.6) for line in drawn)
    assert {"validation", "training", "epoch", "MAE (score units)"} <= set(texts_of(figure))


def test_the_best_epoch_is_named(history, texts_of):
    assert "best 0.540, epoch 4" in texts_of(draw_train_val(train_val_data(history, "mae")))


def test_without_validation_the_legend_does_not_promise_one(make_history, texts_of):
    curve = train_val_data(make_history(validation=False), "mae")
    assert "validation" not in texts_of(draw_train_val(curve))


def test_one_epoch_is_a_point(make_history):
    figure = draw_train_val(train_val_data(make_history(1), "mae"))
    sides = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
    assert all(line.get_marker() == "o" for line in sides)
    assert figure.axes[0].get_xticks().tolist() == [1]


def test_a_flat_curve_has_no_best_epoch(history, texts_of):
    history["epoch"]["val_metrics"]["pcc"] = [0.0] * 4
    assert "0 in every epoch" in texts_of(draw_train_val(train_val_data(history, "pcc")))


def test_a_loss_that_falls_tenfold_gets_a_logarithmic_axis(history):
    curve = with_loss(history, [1.0, 0.5, 0.2, 0.1], [1.0, 0.9, 0.8, 0.7])
    assert is_logarithmic(curve)
    assert draw_train_val(curve).axes[0].get_yscale() == "log"


@pytest.mark.parametrize("end", [0.11, 0.0, -0.5])
def test_other_losses_keep_a_linear_axis(history, end):
    assert not is_logarithmic(with_loss(history, [1.0, 0.5, 0.2, end], None))


def test_a_first_epoch_far_off_is_cut_and_named(history, texts_of):
    history["epoch"] = {"epoch_numbers": list(range(1, 6)), "metrics": {}, "val_metrics": {}}
    history["epoch"]["metrics"]["r2"] = [-52.0, 0.1, 0.2, 0.3, 0.35]
    history["epoch"]["val_metrics"]["r2"] = [-50.0, 0.1, 0.2, 0.3, 0.3]
    curve = train_val_data(history, "r2")
    assert readable_limits(curve) == pytest.approx((0.08, 0.37))
    figure = draw_train_val(curve)
    assert figure.axes[0].get_ylim() == pytest.approx((0.08, 0.37))
    assert "▼ epoch 1: −50.0" in texts_of(figure)


def test_an_ordinary_curve_is_drawn_whole(history):
    assert readable_limits(train_val_data(history, "mae")) is None


def test_the_alt_text_tells_the_numbers(history, make_history):
    assert describe_curve(train_val_data(history, "mae")) == (
        "Over 4 epochs the validation MAE goes from 0.600 to 0.540; its best is 0.540 in epoch 4, "
        "where training has 0.440."
    )
    assert describe_curve(train_val_data(make_history(1, validation=False), "loss")) == (
        "After epoch 1, the only one, the training loss is 0.300."
    )


def test_there_is_a_figure_for_the_loss_and_for_every_metric(history):
    names = [spec.name for spec in FIGURES]
    metrics = [spec.data(history=record_of(history)).metric for spec in FIGURES]
    assert names == [
        "train_val_loss",
        "train_val_accuracy",
        "train_val_mae",
        "train_val_mse",
        "train_val_r_squared",
        "train_val_pcc",
        "train_val_ccc",
    ]
    assert metrics == ["loss", *METRICS]


def test_a_paper_figure_leaves_its_title_to_the_caption(history, texts_of):
    data = train_val_data(history, "mae")
    assert "MAE over the epochs" in texts_of(draw_train_val(data))
    assert "MAE over the epochs" not in texts_of(draw_train_val(data, PAPER))


def test_the_ticks_of_one_epoch_fit_beside_their_label(make_history):
    history = make_history(1)
    history["epoch"]["loss"], history["epoch"]["val_loss"] = [0.016055], [0.016071]
    (axes,) = draw_train_val(train_val_data(history, "loss")).axes
    axes.figure.canvas.draw()
    low, high = axes.get_ylim()
    assert max(len(label.get_text()) for label in axes.get_yticklabels()) <= 7
    assert low < 0.016055
    assert high > 0.016071
