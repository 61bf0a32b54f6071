"""A number that a setting cannot be is refused by name."""

import math

import pytest

from pipeline.config.guards import above_zero, at_least, within
from pipeline.core.errors import ConfigError


@pytest.mark.parametrize("value", [0.9, -math.inf, math.inf, math.nan])
def test_a_value_below_its_bound_or_not_a_number_is_refused(value):
    with pytest.raises(ConfigError, match=r"training\.num_epochs must be at least 1"):
        at_least("training.num_epochs", value, 1)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_value_that_is_not_above_zero_is_refused(value):
    with pytest.raises(ConfigError, match="must be above 0"):
        above_zero("training.learning_rate", value)


@pytest.mark.parametrize("value", [-0.1, 0.6, math.nan])
def test_a_value_outside_of_its_range_is_refused(value):
    with pytest.raises(ConfigError, match=r"must lie in \[0, 0.5\]; got"):
        within("search.test_fraction", value, 0, 0.5)


def test_the_bounds_themselves_are_taken():
    at_least("a", 1, 1)
    within("a", 0.5, 0, 0.5)
    within("a", 0, 0, 0.5)
