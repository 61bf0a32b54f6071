import pytest

from pipeline.figures.learning_rate import (
    describe_learning_rate,
    draw_learning_rate,
    learning_rate_data,
)
from pipeline.figures.spec import NothingToDraw
from tests.figures.contents import on_contents

learning_rate_data = on_contents(learning_rate_data)


def test_the_cuts_of_a_constant_rate_are_marked(lr_logs, texts_of):
    data = learning_rate_data(lr_logs)
    assert data.cut_epochs.tolist() == [3]
    assert "cut" in texts_of(draw_learning_rate(data))


def test_a_schedule_that_falls_in_every_epoch_has_no_cuts(lr_logs):
    lr_logs |= {"learning_rate": [4e-3, 3e-3, 2e-3, 1e-3], "is_reduction": [False, *[True] * 3]}
    assert not learning_rate_data(lr_logs).cut_epochs.size


def test_a_schedule_that_rests_once_has_no_cuts(lr_logs):
    lr_logs |= {"learning_rate": [4e-3, 4e-3, 2e-3, 1e-3], "is_reduction": [False, *[True] * 3]}
    assert not learning_rate_data(lr_logs).cut_epochs.size


def test_steps_stand_where_their_epoch_has_come_to(lr_logs, history):
    data = learning_rate_data(lr_logs, history)
    assert data.step_epochs[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert data.step_epochs[-1] == 4


def test_every_other_step_logged_still_ends_with_the_last_epoch(lr_logs, history):
    for name in ("loss", "learning_rate", "batch_numbers"):
        history["batch"][name] = history["batch"][name][1::2]
    history["batch"]["metrics"] = {}
    assert learning_rate_data(lr_logs, history).step_epochs[-1] == 4


def test_cuts_over_decades_get_a_logarithmic_axis(lr_logs):
    assert draw_learning_rate(learning_rate_data(lr_logs)).axes[0].get_yscale() == "log"


def test_a_linear_axis_begins_at_zero(lr_logs):
    lr_logs |= {"learning_rate": [4e-3, 3e-3, 2e-3, 1e-3]}
    assert draw_learning_rate(learning_rate_data(lr_logs)).axes[0].get_ylim()[0] == 0


def test_the_alt_text_tells_the_numbers(lr_logs):
    assert describe_learning_rate(learning_rate_data(lr_logs)) == (
        "The learning rate starts at 0.0100, has its highest value 0.0100, and ends at 0.00100 "
        "after 4 epochs, cut at epoch 3."
    )
    constant = {"epoch": [1], "learning_rate": [0.01], "is_reduction": [False]}
    assert describe_learning_rate(learning_rate_data(constant)) == (
        "The learning rate stays at 0.0100 for 1 epoch."
    )


def test_a_run_before_its_first_epoch_has_nothing_to_draw():
    with pytest.raises(NothingToDraw):
        learning_rate_data({"epoch": [], "learning_rate": [], "is_reduction": []})
