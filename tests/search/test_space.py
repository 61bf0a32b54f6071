"""Every proposal of a checked space is a valid configuration."""

from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.loading import load_config
from pipeline.core.errors import ConfigError
from pipeline.search.space.space import (
    NUM_HEADS,
    RANK,
    Parameter,
    Space,
)

FUSION = Parameter(name="model.fusion_dim", kind="categorical", choices=(8, 12, 32))
HEADS = Parameter(name=NUM_HEADS, kind="categorical", choices=(1, 2, 3, 4, 8))
RATE = Parameter(name="model.dropout_rate", kind="float", low=0.0, high=0.5)
STEPPED = Parameter(name="model.dropout_rate", kind="float", low=0.0, high=0.6, step=0.1)
WHOLE = Parameter(name="model.num_tokens", kind="int", low=2, high=8, step=2)
CHOICE = Parameter(name="training.loss", kind="categorical", choices=("mse", {"mse": 1.0}))
NUMBERS = Parameter(name="x", kind="categorical", choices=(1, 2))
SCHEDULE = Parameter(
    name="training.schedule", kind="categorical", choices=("constant", "warmup_cosine")
)


def space_of(*parameters, **base):
    named = {name.replace("__", "."): value for name, value in base.items()}
    path = Path("space.yaml")
    return Space(name="small", parameters=parameters, base=load_config(None, named), path=path)


def propose(space, seed=0):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return space.propose(study.ask())


@pytest.mark.parametrize(
    ("low", "high", "step", "typed"),
    [
        (0.0, 0.6, 0.1, {0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6}),
        (0.15, 0.35, 0.1, {0.15, 0.25, 0.35}),
        (1.0, 7.0, 3.0, {1.0, 4.0, 7.0}),
        (0.0, 3e-05, 1e-05, {0.0, 1e-05, 2e-05, 3e-05}),
    ],
)
def test_values_on_steps_are_exactly_the_values_that_a_user_would_type(low, high, step, typed):
    parameter = Parameter(name="x", kind="float", low=low, high=high, step=step)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    assert {parameter.suggest(study.ask()) for _ in range(100)} == typed


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        (STEPPED, 0.3, True),
        (STEPPED, 0.1 + 0.2, True),
        (STEPPED, 0.35, False),
        (STEPPED, 0.7, False),
        (STEPPED, "0.3", False),
        (WHOLE, 4, True),
        (WHOLE, 5, False),
        (WHOLE, True, False),
        (CHOICE, {"mse": 1.0}, True),
        (CHOICE, "mae", False),
        (NUMBERS, True, False),
    ],
)
def test_a_parameter_allows_only_its_values(parameter, value, expected):
    assert parameter.allows(value) is expected


@pytest.mark.parametrize(
    ("parameter", "values", "boundary_values"),
    [
        (WHOLE, (2, 4, 6, 8), (2, 8)),
        (CHOICE, ("mse", {"mse": 1.0}), ("mse", {"mse": 1.0})),
        (STEPPED, None, (0.0, 0.6)),
    ],
)
def test_values_and_boundary_values(parameter, values, boundary_values):
    assert (parameter.values, parameter.boundary_values) == (values, boundary_values)


def test_exactly_the_head_counts_that_divide_are_proposed():
    space = space_of(FUSION, HEADS)
    seen = {tuple(propose(space, seed).values()) for seed in range(300)}
    assert seen == {
        *((8, heads) for heads in (1, 2, 4, 8)),
        *((12, heads) for heads in (1, 2, 3, 4)),
        *((32, heads) for heads in (1, 2, 4, 8)),
    }


def test_head_counts_are_a_categorical_parameter_if_all_divide():
    heads = Parameter(name=NUM_HEADS, kind="categorical", choices=(1, 2, 4))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    space_of(FUSION, heads).propose(trial)
    assert set(trial.params) == {"model.fusion_dim", NUM_HEADS}


@given(st.integers(0, 10_000))
def test_an_encoded_proposal_is_proposed_again(seed):
    space = space_of(FUSION, HEADS, RATE)
    proposal = propose(space, seed)
    assert space.propose(optuna.trial.FixedTrial(space.encode(proposal))) == proposal


@pytest.mark.parametrize(
    ("dim", "heads", "expected"),
    [(16, 2, None), (8, 3, None), (8, 2, {"model.fusion_dim", NUM_HEADS + RANK})],
)
def test_only_values_of_the_space_have_an_encoding(dim, heads, expected):
    encoded = space_of(FUSION, HEADS).encode({"model.fusion_dim": dim, NUM_HEADS: heads})
    assert (encoded and set(encoded)) == expected


def test_an_inactive_parameter_is_left_out():
    patience = Parameter(
        name="training.reduce_lr_patience",
        kind="int",
        low=1,
        high=5,
        when={"training.schedule": ("constant",)},
    )
    space = space_of(SCHEDULE, patience)
    space.check()
    assert not patience.is_active({})
    for seed in range(30):
        proposal = propose(space, seed)
        is_constant = proposal["training.schedule"] == "constant"
        assert ("training.reduce_lr_patience" in proposal) == is_constant


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            (FUSION, Parameter(name=NUM_HEADS, kind="categorical", choices=(5, 8))),
            r"none of \[5, 8\] divides model.fusion_dim 12",
        ),
        (
            (SCHEDULE, Parameter(name="training.reduce_lr_patience", kind="int", low=0, high=5)),
            r"needs training.schedule=constant.*`when:",
        ),
    ],
)
def test_an_invalid_proposal_is_found_before_the_first_trial(parameters, message):
    with pytest.raises(ConfigError, match=message):
        space_of(*parameters).check()


def test_the_defaults_are_the_settings_of_the_configuration():
    space = space_of(FUSION, HEADS, model__fusion_dim=32, model__num_heads=8)
    assert space.defaults() == {"model.fusion_dim": 32, NUM_HEADS: 8}
    space = space_of(HEADS, model__fusion_dim=6, model__num_heads=2)
    assert {propose(space, seed)[NUM_HEADS] for seed in range(100)} == {1, 2, 3}


def test_max_epochs_is_the_largest_number_of_epochs_of_a_trial():
    epochs = Parameter(name="training.num_epochs", kind="int", low=5, high=30)
    assert space_of(FUSION, training__num_epochs=7).max_epochs == 7
    assert space_of(epochs, training__num_epochs=7).max_epochs == 30
