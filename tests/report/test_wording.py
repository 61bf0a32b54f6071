"""Numbers and lists read as a person would write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records.evaluation import Interval
from pipeline.report import wording

NBSP = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.12345, 3, "0.123"), (-0.0026, 3, "−0.003"), (-0.0004, 3, "0.000"), (2.0, 1, "2.0")],
)
def test_decimals_have_a_true_minus_and_no_negative_zero(value, digits, text):
    assert wording.decimal(value, digits) == text


def test_an_estimate_is_told_with_its_interval():
    estimate = Interval(value=0.93307, low=0.92955, high=0.93609)

    assert wording.with_interval("r2", estimate) == f"0.933{NBSP}[0.930,{NBSP}0.936]"


def test_an_estimate_without_an_interval_is_told_alone():
    assert wording.with_interval("accuracy", Interval(0.9)) == "0.9000"
    assert wording.interval("accuracy", Interval(0.9)) == ""


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (1, "clip", "1 clip"),
        (0, "clip", "0 clips"),
        (4800, "clip", "4,800 clips"),
        (48581, "", "48,581"),
    ],
)
def test_counts_agree_with_their_noun(number, noun, text):
    assert wording.count(number, noun) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (0.837, "84 %"), (0.0123, "1.2 %"), (0.0004, "0.04 %"), (1, "100 %")],
)
def test_percentages_keep_small_shares_visible(share, text):
    assert wording.percent(share) == text.replace(" ", NBSP)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0012, "1.2 ms"),
        (0.25, "250 ms"),
        (6.46, "6.46 s"),
        (59.97, "1 min"),
        (63.0, "1 min 3 s"),
        (3600.0, "1 h"),
        (3785.0, "1 h 3 min"),
    ],
)
def test_durations_are_told_in_fitting_units(seconds, text):
    assert wording.duration(seconds) == text.replace(" ", NBSP)


@pytest.mark.parametrize(
    ("items", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_lists_end_in_and(items, text):
    assert wording.listing(items) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        ("", "–"),
        ([], "–"),
        (True, "yes"),
        (0, "0"),
        (0.1, "0.1"),
        (float("nan"), "nan"),
        (["a", 2], "a, 2"),
        ({"name": "resnet50", "weights": None}, "name: resnet50, weights: –"),
    ],
)
def test_any_value_is_told_on_one_line(value, text):
    assert wording.plain(value) == text


def test_unknown_baselines_and_fusions_keep_their_names():
    assert wording.baseline_name("nearest_neighbour") == "nearest neighbour"
    assert wording.fusion_name("cross_attention") == "cross-attention"


def test_a_sentence_keeps_what_follows_its_first_letter():
    assert wording.sentence("val_mae of R²") == "Val_mae of R²"
    assert wording.sentence("") == ""


@given(st.floats(0, 1e6))
def test_a_duration_is_never_empty(seconds):
    assert wording.duration(seconds)


def test_an_encoder_goes_by_its_name_and_one_without_by_all_that_it_says():
    assert wording.encoder_name({"name": "hog + rectified_flow", "crop_px": 112}) == (
        "hog + rectified_flow"
    )
    assert wording.encoder_name("resnet") == "resnet"
    assert wording.encoder_name({"crop_px": 112}) == "crop_px: 112"


@pytest.mark.parametrize(
    ("metric", "ends", "told"),
    [
        ("r2", (0.15, 0.1, 0.2), ("0.150", f"[0.100,{NBSP}0.200]")),
        ("r2", (0.00031, -0.0001, 0.00078), ("0.00031", f"[−0.00010,{NBSP}0.00078]")),
        ("accuracy", (0.0, 0.0, 0.0), ("0.0000", f"[0.0000,{NBSP}0.0000]")),
        ("r2", (0.02, math.nan, math.nan), ("0.020", "")),
    ],
)
def test_a_small_difference_is_told_with_more_decimals(metric, ends, told):
    value, low, high = ends

    assert wording.difference(metric, Interval(value, low, high)) == told
