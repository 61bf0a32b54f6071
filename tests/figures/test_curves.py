import numpy as np
import pytest

from pipeline.figures.base import curves
from pipeline.figures.base.spec import NothingToDraw
from tests.figures.conftest import records_of


def read_curve(content, *names):
    return curves.read_curve(records_of({"history": content})["history"], *names)


def test_a_curve_has_both_subsets(history):
    curve = read_curve(history, "mae")
    assert curve.epochs.tolist() == [1, 2, 3, 4]
    assert curve.train == pytest.approx([0.5, 0.48, 0.46, 0.44])
    assert curve.validation == pytest.approx([0.6, 0.58, 0.56, 0.54])


def test_a_curve_of_one_trait_is_that_trait(history):
    assert read_curve(history, "ccc", "openness").validation[0] == pytest.approx(0.61)


def test_lower_is_better_for_errors_and_higher_for_agreement(history):
    history["epoch"]["val_metrics"]["mae"] = [0.4, 0.1, 0.3, 0.2]
    history["epoch"]["val_metrics"]["ccc"] = [0.4, 0.1, 0.3, 0.2]
    assert read_curve(history, "mae").best_epoch == 2
    assert read_curve(history, "ccc").best_epoch == 1
    assert read_curve(history, "ccc").best_value == 0.4


def test_without_validation_the_training_values_select_the_best_epoch(make_history):
    curve = read_curve(make_history(validation=False), "loss")
    assert (curve.subset, curve.validation) == ("training", None)
    assert curve.best_value == pytest.approx(0.27)


def test_nulls_are_gaps_and_never_the_best(history):
    history["epoch"]["val_loss"] = [None, 0.5, None, 0.7]
    curve = read_curve(history, "loss")
    assert np.isnan(curve.validation).tolist() == [True, False, True, False]
    assert curve.best_epoch == 2


def test_an_unknown_metric_is_nothing_to_draw(history):
    with pytest.raises(NothingToDraw, match="contains no roc_auc of openness"):
        read_curve(history, "roc_auc", "openness")


def test_a_run_before_its_first_epoch_has_nothing_to_draw(make_history):
    with pytest.raises(NothingToDraw, match="no epoch has ended"):
        read_curve(make_history(0), "loss")
