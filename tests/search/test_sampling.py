"""Build samplers and pruners from the configuration."""

import optuna
import pytest

from pipeline.config.schema import SearchConfig
from pipeline.search.study.sampling import build_pruner, build_sampler, prunes


def sample(**arguments):
    settings = {"config": SearchConfig(), "seed": 0, "slot": 0, **arguments}
    study = optuna.create_study(sampler=build_sampler(**settings))
    return study.ask().suggest_float("x", 0.0, 1.0)


@pytest.mark.parametrize("other", [{"slot": 1}, {"seed": 1}, {"stream": "another machine"}])
def test_slot_seed_and_stream_determine_the_sample(other):
    assert sample() == sample() != sample(**other)


@pytest.mark.parametrize(("name", "expected"), [("tpe", "TPESampler"), ("random", "RandomSampler")])
def test_the_configured_sampler_is_built(name, expected):
    sampler = build_sampler(SearchConfig(sampler=name), seed=0, slot=0)
    assert type(sampler).__name__ == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"pruner": "hyperband"}, "HyperbandPruner"),
        ({"pruner": "successive_halving"}, "SuccessiveHalvingPruner"),
        ({"pruner": "median"}, "MedianPruner"),
        ({"min_epochs": 50}, "HyperbandPruner"),
        ({"pruner": "none"}, "NopPruner"),
        ({"second_objective": "weights"}, "NopPruner"),
    ],
)
def test_the_configured_pruner_is_built(settings, expected):
    config = SearchConfig(**settings)
    assert type(build_pruner(config, num_epochs=9)).__name__ == expected
    assert prunes(config) is (expected != "NopPruner")
