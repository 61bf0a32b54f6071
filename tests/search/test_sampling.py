"""Samplers are seeded by slot; pruners are those that the configuration names."""

import optuna
import pytest

from pipeline.config.schema import SearchConfig
from pipeline.search.study.sampling import build_pruner, build_sampler, prunes


def draw(**arguments):
    settings = {"config": SearchConfig(), "seed": 0, "slot": 0, **arguments}
    study = optuna.create_study(sampler=build_sampler(**settings))
    return study.ask().suggest_float("x", 0.0, 1.0)


def test_the_same_slot_draws_the_same():
    assert draw(slot=3) == draw(slot=3)


@pytest.mark.parametrize("other", [{"slot": 1}, {"seed": 1}, {"stream": "another machine"}])
def test_another_slot_seed_or_machine_draws_something_else(other):
    assert draw() != draw(**other)


@pytest.mark.parametrize(("name", "expected"), [("tpe", "TPESampler"), ("random", "RandomSampler")])
def test_the_sampler_is_the_one_that_is_named(name, expected):
    sampler = build_sampler(SearchConfig(sampler=name), seed=0, slot=0)
    assert type(sampler).__name__ == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hyperband", "HyperbandPruner"),
        ("successive_halving", "SuccessiveHalvingPruner"),
        ("median", "MedianPruner"),
        ("none", "NopPruner"),
    ],
)
def test_the_pruner_is_the_one_that_is_named(name, expected):
    assert type(build_pruner(SearchConfig(pruner=name), num_epochs=9)).__name__ == expected


def test_two_objectives_are_not_pruned():
    config = SearchConfig(second_objective="weights")
    assert not prunes(config)
    assert type(build_pruner(config, num_epochs=9)).__name__ == "NopPruner"


def test_a_pruner_can_be_built_for_fewer_epochs_than_a_trial_is_given():
    assert build_pruner(SearchConfig(min_epochs=5), num_epochs=1) is not None
