"""Whatever a space proposes is a valid configuration."""

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.loading import load_config
from pipeline.core.errors import ConfigError
from pipeline.core.seeds import generator
from pipeline.search.space.parameter import Parameter
from pipeline.search.space.space import NUM_HEADS, RANK, Space, describe_difference
from pipeline.search.study.random_proposals import Draws

FUSION = Parameter(name="model.fusion_dim", kind="categorical", choices=(8, 12, 32))
HEADS = Parameter(name=NUM_HEADS, kind="categorical", choices=(1, 2, 3, 4, 8))


def space_of(*parameters, **base):
    from pathlib import Path

    named = {name.replace("__", "."): value for name, value in base.items()}
    return Space(
        name="small",
        parameters=parameters,
        base=load_config(None, named),
        path=Path("space.yaml"),
    )


def draw(space, seed=0, **given_values):
    return space.propose(Draws(generator(seed, "test"), given_values))


@given(st.integers(0, 10_000))
def test_only_head_counts_that_divide_are_proposed(seed):
    proposal = draw(space_of(FUSION, HEADS), seed)
    assert proposal["model.fusion_dim"] % proposal[NUM_HEADS] == 0


def test_every_head_count_that_divides_is_proposed():
    space = space_of(FUSION, HEADS)
    seen = {tuple(draw(space, seed).values()) for seed in range(300)}
    assert seen == {
        *((8, heads) for heads in (1, 2, 4, 8)),
        *((12, heads) for heads in (1, 2, 3, 4)),
        *((32, heads) for heads in (1, 2, 4, 8)),
    }


def test_head_counts_that_all_divide_stay_a_plain_choice():
    heads = Parameter(name=NUM_HEADS, kind="categorical", choices=(1, 2, 4))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    space_of(FUSION, heads).propose(trial)
    assert set(trial.params) == {"model.fusion_dim", NUM_HEADS}


def test_head_counts_follow_the_fusion_dimension_of_the_configuration_where_it_is_fixed():
    space = space_of(HEADS, model__fusion_dim=6, model__num_heads=2)
    assert {draw(space, seed)[NUM_HEADS] for seed in range(100)} == {1, 2, 3}


def test_a_fusion_dimension_that_no_head_count_divides_is_refused():
    heads = Parameter(name=NUM_HEADS, kind="categorical", choices=(5, 8))
    with pytest.raises(ConfigError, match=r"none of \[5, 8\] divides model.fusion_dim 12"):
        space_of(FUSION, heads).check()


@given(st.integers(0, 10_000))
def test_what_was_proposed_is_proposed_again_from_its_encoding(seed):
    space = space_of(
        FUSION, HEADS, Parameter(name="model.dropout_rate", kind="float", low=0.0, high=0.5)
    )
    proposal = draw(space, seed)
    encoded = space.encode(proposal)
    assert space.propose(optuna.trial.FixedTrial(encoded)) == proposal


def test_values_outside_of_the_space_have_no_encoding():
    space = space_of(FUSION, HEADS)
    assert space.encode({"model.fusion_dim": 16, NUM_HEADS: 2}) is None
    assert space.encode({"model.fusion_dim": 8, NUM_HEADS: 3}) is None
    assert set(space.encode({"model.fusion_dim": 8, NUM_HEADS: 2})) == {
        "model.fusion_dim",
        NUM_HEADS + RANK,
    }


def test_a_conditional_parameter_is_left_out_where_its_condition_is_not_met():
    schedule = Parameter(
        name="training.schedule", kind="categorical", choices=("constant", "warmup_cosine")
    )
    patience = Parameter(
        name="training.reduce_lr_patience",
        kind="int",
        low=1,
        high=5,
        when={"training.schedule": ("constant",)},
    )
    space = space_of(schedule, patience)
    space.check()
    for seed in range(30):
        proposal = draw(space, seed)
        is_constant = proposal["training.schedule"] == "constant"
        assert ("training.reduce_lr_patience" in proposal) == is_constant


def test_a_combination_that_is_not_valid_is_found_before_the_first_trial():
    schedule = Parameter(
        name="training.schedule", kind="categorical", choices=("constant", "warmup_cosine")
    )
    patience = Parameter(name="training.reduce_lr_patience", kind="int", low=0, high=5)
    with pytest.raises(ConfigError, match=r"needs training.schedule=constant.*`when:"):
        space_of(schedule, patience).check()


def test_an_edge_that_is_not_valid_is_found_however_rarely_it_is_drawn():
    rate = Parameter(name="model.dropout_rate", kind="float", low=0.0, high=1.0)
    with pytest.raises(ConfigError, match=r"model.dropout_rate must lie in \[0, 1\); got 1.0"):
        space_of(rate).check()


def test_the_configuration_of_a_proposal_has_its_values():
    space = space_of(FUSION, HEADS)
    config = space.config({"model.fusion_dim": 12, NUM_HEADS: 3})
    assert (config.model.fusion_dim, config.model.num_heads) == (12, 3)


def test_the_defaults_are_the_settings_of_the_base():
    space = space_of(FUSION, HEADS, model__fusion_dim=32, model__num_heads=8)
    assert space.defaults() == {"model.fusion_dim": 32, NUM_HEADS: 8}


def test_the_most_epochs_are_those_of_the_longest_trial():
    epochs = Parameter(name="training.num_epochs", kind="int", low=5, high=30)
    assert space_of(FUSION, training__num_epochs=7).most_epochs == 7
    assert space_of(epochs, training__num_epochs=7).most_epochs == 30


def test_a_difference_names_what_was_added_removed_and_changed():
    before = space_of(FUSION, HEADS).to_json()
    rate = Parameter(name="model.dropout_rate", kind="float", low=0.0, high=0.5)
    wider = Parameter(name="model.fusion_dim", kind="categorical", choices=(8, 64))
    assert describe_difference(before, space_of(wider, rate).to_json()) == [
        "model.dropout_rate was not searched",
        "model.fusion_dim was (choices [8, 12, 32]), now (choices [8, 64])",
        "model.num_heads is not searched any more",
    ]
    assert describe_difference(before, before) == []
