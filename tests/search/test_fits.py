"""No trial reads the clips that are held out of the search."""

import numpy as np
import pytest

from pipeline.core.errors import SplitError
from pipeline.search.fits import plan_parts, search_split
from pipeline.workflows.features import open_features


def planned(config):
    features = open_features(config.data)
    split = search_split(features, config)
    return features, split, plan_parts(features, split, config)


def test_one_fit_uses_the_split_without_its_test_side(make_config):
    _, split, (part,) = planned(make_config())
    assert len(split.test) > 0
    assert len(part.split.test) == 0
    np.testing.assert_array_equal(part.split.train, split.train)


def test_folds_are_of_whole_groups_and_leave_the_test_side_out(make_config):
    features, split, parts = planned(make_config(search__num_folds=3))
    held_out = set(features.groups[split.test])
    for part in parts:
        seen = np.concatenate([part.split.train, part.split.validation])
        assert not held_out & set(features.groups[seen])
        assert not set(features.groups[part.split.train]) & set(
            features.groups[part.split.validation]
        )
    validated = np.concatenate([part.split.validation for part in parts])
    assert sorted(validated) == sorted([*split.train, *split.validation])


def test_every_fold_is_fitted_with_every_seed(make_config):
    _, _, parts = planned(make_config(search__num_folds=2, search__num_seeds=2, seed=5))
    assert [(part.name, part.seed) for part in parts] == [
        ("fold-1-seed-0", 5),
        ("fold-1-seed-1", 6),
        ("fold-2-seed-0", 5),
        ("fold-2-seed-1", 6),
    ]


def test_more_folds_than_groups_are_refused(make_config):
    with pytest.raises(SplitError):
        planned(make_config(search__num_folds=50))
