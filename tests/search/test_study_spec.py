"""Objectives and fits of a study. Fits do not use test clips."""

import numpy as np
import pytest

from pipeline.search.study_spec import plan_fits, search_split
from pipeline.workflows.features import open_features


@pytest.fixture
def plan(make_config):
    """Return a function that builds features, split and fits from a configuration."""

    def make(**overrides):
        config = make_config(**overrides)
        features = open_features(config.data)
        split = search_split(features, config)
        return features, split, plan_fits(features, split, config)

    return make


@pytest.mark.parametrize(
    ("overrides", "objectives", "directions"),
    [
        ({}, ["mae"], ["minimize"]),
        ({"search__metric": "r2"}, ["r2"], ["maximize"]),
        ({"search__second_objective": "weights"}, ["mae", "weights"], ["minimize", "minimize"]),
    ],
)
def test_objectives_and_directions(make_spec, overrides, objectives, directions):
    spec = make_spec(**overrides)
    assert (spec.objectives, spec.directions) == (objectives, directions)


def test_there_is_one_fit_per_fold_and_seed(make_spec, plan):
    assert make_spec().num_fits == 1
    assert make_spec(search__num_folds=2, search__num_seeds=2).num_fits == 4
    _, _, fits = plan(search__num_folds=2, search__num_seeds=2, seed=5)
    assert [(fit.name, fit.seed) for fit in fits] == [
        ("fold-1-seed-0", 5),
        ("fold-1-seed-1", 6),
        ("fold-2-seed-0", 5),
        ("fold-2-seed-1", 6),
    ]


def test_a_single_fit_uses_the_split_without_test_clips(plan):
    _, split, (fit,) = plan()
    assert len(split.test) > 0
    assert len(fit.split.test) == 0
    np.testing.assert_array_equal(fit.split.train, split.train)


def test_folds_have_whole_groups_and_no_test_clips(plan):
    features, split, fits = plan(search__num_folds=3)
    test_groups = {*features.groups[split.test]}
    for fit in fits:
        train = {*features.groups[fit.split.train]}
        validation = {*features.groups[fit.split.validation]}
        assert not test_groups & (train | validation)
        assert not train & validation
    validated = np.concatenate([fit.split.validation for fit in fits])
    assert sorted(validated) == sorted([*split.train, *split.validation])
