import math

import pytest

from pipeline.figures.wording import (
    METRIC_LABELS,
    METRIC_NAMES,
    count,
    duration,
    keeping_end,
    number,
    percent,
    signed,
)
from pipeline.metrics.regression import METRICS


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.93312, "0.933"),
        (0.0261, "0.0261"),
        (-52.04, "−52.0"),
        (1234.5, "1,234"),
        (0.09996, "0.100"),
        (9.999, "10.0"),
        (0, "0"),
        (2.3e-9, "2.3e−09"),
        (math.nan, "undefined"),
        (math.inf, "undefined"),
    ],
)
def test_numbers_have_three_significant_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "12.3 ms"),
        (1.5, "1.50 s"),
        (119, "119 s"),
        (243, "4.05 min"),
        (9000, "2.50 h"),
        (math.nan, "undefined"),
    ],
)
def test_times_have_the_unit_in_which_they_read_well(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.5, "50 %"), (0.041, "4.1 %"), (0, "0 %"), (math.nan, "undefined")]
)
def test_small_shares_keep_a_digit(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0041, "+0.004"), (-0.02, "−0.020"), (-6e-9, "0.000")]
)
def test_differences_have_a_sign_unless_they_vanish(value, text):
    assert signed(value) == text


def test_one_is_singular_and_thousands_are_grouped():
    assert count(1, "epoch") == "1 epoch"
    assert count(1520, "step") == "1,520 steps"


def test_every_metric_has_a_label_and_a_name():
    assert set(METRIC_LABELS) == set(METRIC_NAMES) == {"loss", *METRICS}


def test_a_name_that_is_too_long_keeps_its_end():
    assert keeping_end("model.fusion_dim", 16) == "model.fusion_dim"
    assert keeping_end("model.fusion_dim", 11) == "…fusion_dim"
