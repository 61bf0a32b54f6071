"""Both trainings stand on the same axes, best epochs marked."""

import pytest

from pipeline.figures.comparison_curves import (
    curve_pair_data,
    describe_curve_pair,
    draw_curve_pair,
)
from pipeline.figures.spec import NothingToDraw
from tests.figures.contents import on_contents

curve_pair_data = on_contents(curve_pair_data)

NAMES = {"names": ["one", "other"]}


def history(losses, val_losses):
    return {
        "epoch": {
            "epoch_numbers": list(range(1, len(losses) + 1)),
            "loss": losses,
            "val_loss": val_losses,
            "metrics": {"mae": losses},
            "val_metrics": {"mae": val_losses} if val_losses else {},
        }
    }


def test_each_run_keeps_its_own_epochs():
    data = curve_pair_data(NAMES, history([3.0, 2.0], [4.0, 1.0]), history([3.0], [2.5]))

    first, second = data.curves["loss"]
    assert (len(first.epochs), len(second.epochs)) == (2, 1)
    assert (first.best_epoch, first.best_value) == (2, 1.0)


def test_both_runs_are_drawn_with_training_validation_and_best_epoch():
    data = curve_pair_data(NAMES, history([3.0, 2.0], [4.0, 1.0]), history([3.0], [2.5]))

    for axes in draw_curve_pair(data).axes:
        assert [len(line.get_xdata()) for line in axes.lines] == [2, 2, 1, 1, 1, 1]


def test_a_run_without_validation_is_drawn_by_its_training():
    data = curve_pair_data(NAMES, history([3.0, 2.0], []), history([3.0, 1.0], []))

    assert [len(axes.lines) for axes in draw_curve_pair(data).axes] == [4, 4]
    assert describe_curve_pair(data) == (
        "Lowest losses: one 2.00 in epoch 2 of 2 (training), other 1.00 in epoch 2 of 2 (training)."
    )


def test_a_steep_fall_is_drawn_on_a_logarithmic_axis_that_says_so():
    data = curve_pair_data(NAMES, history([3.0, 0.1], [3.0, 0.1]), history([3.0], [2.5]))

    loss, mae = draw_curve_pair(data).axes

    assert (loss.get_yscale(), loss.get_ylabel()) == ("log", "Loss · log scale")
    assert mae.get_yscale() == "linear"


def test_a_loss_below_zero_stays_on_a_linear_axis():
    data = curve_pair_data(NAMES, history([3.0, 0.1], [3.0, 0.1]), history([-0.5], [-0.6]))

    assert draw_curve_pair(data).axes[0].get_yscale() == "linear"


def test_a_run_without_epochs_has_nothing_to_draw():
    with pytest.raises(NothingToDraw, match="no epoch has ended"):
        curve_pair_data(NAMES, history([], []), history([3.0], [2.5]))
