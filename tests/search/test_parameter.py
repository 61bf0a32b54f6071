"""A parameter knows its values, its edges and when it is tried."""

import optuna
import pytest

from pipeline.search.space.parameter import Parameter, is_on_step, label

STEPPED = Parameter(name="model.dropout_rate", kind="float", low=0.0, high=0.6, step=0.1)
WHOLE = Parameter(name="model.num_tokens", kind="int", low=2, high=8, step=2)
CHOICE = Parameter(name="training.loss", kind="categorical", choices=("mse", {"mse": 1.0}))


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        (STEPPED, 0.3, True),
        (STEPPED, 0.35, False),
        (STEPPED, 0.7, False),
        (STEPPED, "0.3", False),
        (WHOLE, 4, True),
        (WHOLE, 5, False),
        (WHOLE, True, False),
        (CHOICE, {"mse": 1.0}, True),
        (CHOICE, "mae", False),
    ],
)
def test_it_knows_which_values_it_holds(parameter, value, expected):
    assert parameter.holds(value) is expected


def test_true_is_not_taken_for_one():
    assert not Parameter(name="x", kind="categorical", choices=(1, 2)).holds(True)


def test_what_can_be_counted_is_counted():
    assert WHOLE.values == (2, 4, 6, 8)
    assert CHOICE.values == ("mse", {"mse": 1.0})
    assert STEPPED.values is None


def test_the_edges_are_all_choices_or_both_ends():
    assert (WHOLE.edges, CHOICE.edges) == ((2, 8), ("mse", {"mse": 1.0}))


def test_a_choice_that_is_a_mix_comes_back_as_it_is():
    trial = optuna.trial.FixedTrial({"training.loss": label({"mse": 1.0})})
    assert CHOICE.suggest(trial) == {"mse": 1.0}


def test_a_condition_on_a_parameter_that_is_not_tried_is_not_met():
    parameter = Parameter(
        name="x", kind="categorical", choices=(1, 2), when={"model.fusion": ("late",)}
    )
    assert parameter.is_active({"model.fusion": "late"})
    assert not parameter.is_active({"model.fusion": "concat"})
    assert not parameter.is_active({})


@pytest.mark.parametrize(
    ("value", "expected"), [(0.3, True), (0.30000000000000004, True), (0.31, False)]
)
def test_rounding_does_not_leave_a_step(value, expected):
    assert is_on_step(value, 0.0, 0.1) is expected
