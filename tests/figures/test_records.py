import math

import numpy as np
import pytest

from pipeline.core.errors import PipelineError
from pipeline.figures.records import (
    batch_numbers,
    batch_values,
    epoch_numbers,
    log_amounts,
    log_numbers,
    log_totals,
    log_values,
    read_curve,
)
from pipeline.figures.spec import NothingToDraw


def test_a_curve_has_the_mean_of_the_traits_on_both_sides(history):
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


def test_epochs_keep_their_numbers_when_the_first_is_not_one(history):
    history["epoch"]["epoch_numbers"] = [11, 12, 13, 14]
    assert read_curve(history, "loss").best_epoch == 14


def test_without_validation_training_decides(make_history):
    curve = read_curve(make_history(validation=False), "loss")
    assert (curve.side, curve.validation) == ("training", None)
    assert curve.best_value == pytest.approx(0.27)


def test_nulls_are_gaps_and_never_the_best(history):
    history["epoch"]["val_loss"] = [None, 0.5, None, 0.7]
    curve = read_curve(history, "loss")
    assert np.isnan(curve.validation).tolist() == [True, False, True, False]
    assert curve.best_epoch == 2


def test_a_curve_without_any_finite_value_has_no_best(history):
    history["epoch"]["loss"] = [None] * 4
    history["epoch"]["val_loss"] = [math.nan, 1.0, 1.0, 1.0]
    curve = read_curve(history, "loss")
    assert curve.train is None
    assert curve.best_epoch == 2


def test_a_flat_curve_of_several_epochs_is_flat(history):
    history["epoch"]["val_metrics"]["pcc"] = [0.0] * 4
    assert read_curve(history, "pcc").is_flat
    assert not read_curve(history, "ccc").is_flat


def test_a_metric_under_the_name_of_other_tools_is_found(history):
    for side in ("metrics", "val_metrics"):
        history["epoch"][side]["r_squared"] = history["epoch"][side].pop("r2")
    assert read_curve(history, "r2").train[0] == pytest.approx(0.5)


def test_an_unknown_metric_is_nothing_to_draw(history):
    with pytest.raises(NothingToDraw, match="holds no roc_auc of openness"):
        read_curve(history, "roc_auc", "openness")


def test_a_run_before_its_first_epoch_has_nothing_to_draw(make_history):
    with pytest.raises(NothingToDraw, match="no epoch has ended"):
        epoch_numbers(make_history(0))
    with pytest.raises(NothingToDraw, match="no step was logged"):
        batch_numbers(make_history(0))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda epoch: epoch.update(loss=[0.1]), r"'epoch.loss' must hold 4 values.*found 1"),
        (lambda epoch: epoch.update(loss=["x"] * 4), "must be a list of numbers"),
        (lambda epoch: epoch.update(loss={"a": 1}), "must be a list of numbers"),
        (lambda epoch: epoch.update(loss=[[0.1], [0.2], [0.3], [0.4]]), "must hold 4 values"),
        (lambda epoch: epoch.pop("epoch_numbers"), "'epoch_numbers' must be a list"),
        (lambda epoch: epoch.update(metrics=[1], val_metrics=[1]), "must be a JSON object"),
    ],
)
def test_damage_is_named_with_its_place(history, damage, message):
    damage(history["epoch"])
    metric = "mae" if isinstance(history["epoch"].get("metrics"), list) else "loss"
    with pytest.raises(PipelineError, match=message) as caught:
        read_curve(history, metric)
    assert not isinstance(caught.value, NothingToDraw)
    assert "metrics_history.json" in str(caught.value)


@pytest.mark.parametrize("history", [None, [], "text", {}, {"epoch": []}])
def test_what_is_no_history_is_refused(history):
    with pytest.raises(PipelineError, match=r"metrics_history\.json.*JSON object"):
        epoch_numbers(history)


def test_steps_have_their_own_values(history):
    assert batch_values(history, "loss")[:2] == pytest.approx([0.3, 0.299])
    assert batch_values(history, "mae")[0] == 0.2
    assert batch_values(history, "unknown") is None


def test_a_flat_log_is_read_by_name_and_size():
    assert log_values({"a": [1, None]}, "a", "log.json", 2)[0] == 1
    assert log_values({}, "a", "log.json", 2).size == 0
    with pytest.raises(PipelineError, match="'a' must hold 3 values, one each; found 2"):
        log_values({"a": [1, 2]}, "a", "log.json", 3)
    with pytest.raises(PipelineError, match=r"log\.json: 'a' must hold 1 values"):
        log_values({"a": 5}, "a", "log.json")


def test_a_total_is_a_number_or_the_sum_of_its_list():
    found = log_totals({"a": 1.5, "b": [1, None, 2], "c": None}, "log.json")
    assert found == {"a": 1.5, "b": 3, "c": 0}


def test_numbers_of_epochs_are_counted_where_the_log_has_none():
    assert log_numbers({}, "epoch", "log.json", 3).tolist() == [1, 2, 3]
    assert log_numbers({"epoch": [5, 6]}, "epoch", "log.json", 2).tolist() == [5, 6]


@pytest.mark.parametrize("numbers", [[0, 1], [2, 1], [1, None], [1, 1]])
def test_numbers_that_do_not_count_are_refused(numbers):
    with pytest.raises(PipelineError, match="must rise from 1"):
        log_numbers({"epoch": numbers}, "epoch", "log.json", 2)


@pytest.mark.parametrize("amounts", [[1, -2], [1, None], [1, math.inf]])
def test_times_that_cannot_be_are_refused(amounts):
    with pytest.raises(PipelineError, match=r"log\.json: 'a' must hold values of zero or more"):
        log_amounts({"a": amounts}, "a", "log.json")
