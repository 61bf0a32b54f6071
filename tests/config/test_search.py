"""The settings of a search are checked when they are read."""

import pytest

from pipeline.config.loading import config_digest, load_config
from pipeline.core.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("search.num_folds", 1, "0 \\(one split\\) or at least 2; got 1"),
        ("search.num_seeds", 0, "at least 1; got 0"),
        ("search.metric", "loss", "search.metric"),
        ("search.pruner", "hyperbad", "hyperband"),
        ("search.test_fraction", 0.0, "above 0"),
        ("search.reduction_factor", 1, "at least 2; got 1"),
        ("search.prunner", "none", "did you mean search.pruner"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(name, value, words):
    with pytest.raises(ConfigError, match=words):
        load_config(None, {name: value})


def test_how_a_search_goes_about_it_does_not_change_what_a_training_comes_to():
    plain, other = load_config(None), load_config(None, {"search.pruner": "median"})
    assert config_digest(plain) == config_digest(other)
