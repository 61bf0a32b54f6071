import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.traits import NUM_TRAITS, TRAITS
from pipeline.evaluation.intervals.conformal import (
    HALVED_GROUPS,
    NEW_GROUPS,
    calibrate,
    measure_coverage,
    measure_coverage_in_halves,
)
from pipeline.records.calibration import Calibration, min_groups, uncalibrated
from pipeline.records.predictions import Predictions


def calibrate_errors(errors, groups, **options):
    """Calibrate on clips that have the same errors for every trait."""
    y_pred = np.zeros((len(errors), NUM_TRAITS))
    return calibrate(
        y_pred + np.asarray(errors)[:, None], y_pred, groups, **options, trait_names=TRAITS
    )


def hierarchical_clips(numbers, num_groups, *, group_spread):
    """Errors that are partly shared within groups of different sizes and spreads."""
    sizes = numbers.integers(1, 9, num_groups)
    groups = np.repeat(np.arange(num_groups), sizes)
    shared = numbers.normal(0, group_spread, (num_groups, NUM_TRAITS))[groups]
    spread = numbers.uniform(0.2, 2, num_groups)[groups, None]
    errors = shared + spread * numbers.normal(size=(len(groups), NUM_TRAITS))
    return errors, groups


def group_weighted_coverage(half_widths, errors, groups):
    covered = (np.abs(errors) <= [*half_widths.values()]).mean(axis=1)
    return np.mean([covered[groups == group].mean() for group in np.unique(groups)])


def test_with_one_clip_per_group_it_equals_split_conformal_prediction():
    errors = np.random.default_rng(0).permutation(np.arange(1, 20) / 100)
    found = calibrate_errors(errors, [f"g{index}" for index in range(19)], level=0.9)
    assert found.half_widths == pytest.approx(
        dict.fromkeys(TRAITS, 18 / 100)
    )  # the ceil(0.9 * 20) = 18th smallest


def test_every_group_has_the_same_weight():
    # One of nine groups has 1000 clips with large errors.
    errors = [*(0.1 * step for step in range(1, 9)), *[5.0] * 1000]
    groups = [*(f"small {step}" for step in range(8)), *["large"] * 1000]
    found = calibrate_errors(errors, groups, level=0.5)
    assert found.half_widths == pytest.approx(dict.fromkeys(TRAITS, 0.5))  # five of ten groups


def test_the_order_and_repeated_clips_of_whole_groups_have_no_effect():
    numbers = np.random.default_rng(1)
    errors, groups = numbers.random(60), np.repeat(np.arange(20), 3)
    rows = np.concatenate([np.arange(60), np.flatnonzero(groups < 5)])
    rows = numbers.permutation(rows)
    once = calibrate_errors(errors, groups.astype(str))
    again = calibrate_errors(errors[rows], groups[rows].astype(str))
    assert once.half_widths == again.half_widths


@pytest.mark.parametrize(("level", "expected"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19)])
def test_a_level_needs_a_minimum_number_of_groups(level, expected):
    assert min_groups(level) == expected
    names = [f"g{index}" for index in range(expected)]
    assert calibrate_errors(np.ones(expected), names, level=level).is_informative
    assert not calibrate_errors(np.ones(expected - 1), names[:-1], level=level).is_informative


def test_with_too_few_groups_every_interval_is_the_whole_range():
    found = calibrate_errors(np.full(80, 0.1), np.repeat(np.arange(8), 10).astype(str))
    low, high = found.intervals(np.full((3, NUM_TRAITS), 0.5))
    assert not low.any()
    assert (high == 1).all()
    assert "at least 9 held-out groups" in found.warning
    assert "there were 8" in found.warning


def test_every_trait_has_its_own_width():
    y_pred = np.zeros((9, NUM_TRAITS))
    y_true = y_pred + np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    found = calibrate(y_true, y_pred, [f"g{index}" for index in range(9)], trait_names=TRAITS)
    np.testing.assert_allclose([*found.half_widths.values()], [0.1, 0.2, 0.3, 0.4, 0.5])


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_groups=st.integers(9, 60),
    group_spread=st.sampled_from([0.0, 0.5, 2.0]),
    level=st.sampled_from([0.5, 0.8, 0.9]),
)
def test_new_groups_are_covered_at_the_level_on_average(seed, num_groups, group_spread, level):
    numbers = np.random.default_rng(seed)
    coverage = []
    for _ in range(100):
        errors, groups = hierarchical_clips(numbers, num_groups, group_spread=group_spread)
        found = calibrate(
            errors, np.zeros_like(errors), groups.astype(str), level=level, trait_names=TRAITS
        )
        new = hierarchical_clips(numbers, 100, group_spread=group_spread)
        coverage.append(group_weighted_coverage(found.half_widths, *new))
    # Lower limit: three standard errors. Upper limit: 2 / (G + 1) above the level.
    error = 3 * np.std(coverage) / math.sqrt(len(coverage))
    assert level - error <= np.mean(coverage) <= level + 2 / (num_groups + 1) + error


@pytest.mark.parametrize(
    ("groups", "level", "message"),
    [
        *((["g"], level, "level between 0 and 1") for level in (0.0, 1.0, 1.5, -0.1, math.nan)),
        (["g", "h"], 0.9, r"shape \(2, 5\) for 2 groups; found \(1, 5\)"),
    ],
)
def test_wrong_input_of_a_calibration_is_an_error(groups, level, message):
    with pytest.raises(ValueError, match=message):
        calibrate_errors([0.1], groups, level=level)


def predictions_with(errors, groups):
    y_pred = np.full((len(errors), NUM_TRAITS), 0.5)
    return Predictions(
        clip_ids=[f"c{index}" for index in range(len(errors))],
        groups=groups,
        y_pred=y_pred,
        y_true=y_pred + np.asarray(errors),
    )


def random_predictions(seed, num_groups=200):
    numbers = np.random.default_rng(seed)
    groups = np.repeat(np.arange(num_groups), 3)
    shared = numbers.normal(0, 0.05, (num_groups, NUM_TRAITS))[groups]
    return predictions_with(shared + numbers.normal(0, 0.05, (len(groups), NUM_TRAITS)), groups)


FIXED_WIDTHS = Calibration(
    level=0.9,
    half_widths=dict.fromkeys(TRAITS, 0.1),
    num_groups=20,
    num_clips=20,
    clips="validation",
)


def coverage_of(predictions, calibration=FIXED_WIDTHS):
    return measure_coverage(calibration, predictions, num_resamples=10, seed=0)


def coverage_in_halves(predictions, num_resamples=10):
    return measure_coverage_in_halves(predictions, level=0.9, num_resamples=num_resamples, seed=0)


def test_coverage_is_a_mean_over_groups_per_trait():
    errors = np.array([[0.0] * 5, [0.3, 0.0, 0.3, 0.0, 0.3], [0.3] * 5, [0.3] * 5])
    found = coverage_of(predictions_with(errors, ["a", "b", "b", "b"]))
    expected = [0.5, (1 + 1 / 3) / 2, 0.5, (1 + 1 / 3) / 2, 0.5]
    assert [found.coverage[trait].value for trait in TRAITS] == pytest.approx(expected)
    assert found.coverage["mean"].value == pytest.approx(np.mean(expected))
    assert (found.measured_on, found.num_clips, found.num_groups) == (NEW_GROUPS, 4, 2)


def test_widths_are_clipped_to_the_range_of_the_scores():
    predictions = predictions_with(np.zeros((2, NUM_TRAITS)), ["a", "b"])
    found = coverage_of(dataclasses.replace(predictions, y_pred=np.array([[0.5] * 5, [1.0] * 5])))
    assert found.mean_width["mean"] == pytest.approx((0.2 + 0.1) / 2)
    assert found.mean_width["openness"] == pytest.approx((0.2 + 0.1) / 2)


def test_coverage_in_halves_is_near_the_level_and_reproducible():
    found = coverage_in_halves(random_predictions(0, 400), num_resamples=200)
    assert found.measured_on == HALVED_GROUPS
    assert 0.88 < found.coverage["mean"].value < 0.93
    assert found.coverage["mean"].low < 0.9 < found.coverage["mean"].high
    assert coverage_in_halves(random_predictions(0, 400), num_resamples=200) == found


def test_a_half_is_never_tested_on_its_calibration_groups():
    # Only group 0 has errors. If it were in the calibration, its clips would be covered.
    groups = np.repeat(np.arange(20), 2)
    errors = np.repeat(np.where(np.arange(20) == 0, 0.4, 0.0), 2)[:, None] * np.ones(NUM_TRAITS)
    found = coverage_in_halves(predictions_with(errors, groups))
    assert found.coverage["mean"].value == pytest.approx(19 / 20)


@pytest.mark.parametrize(("num_groups", "is_measured"), [(17, False), (18, True)])
def test_half_of_the_groups_must_be_enough_for_a_calibration(num_groups, is_measured):
    assert (coverage_in_halves(random_predictions(0, num_groups)) is not None) == is_measured


def test_coverage_of_uninformative_intervals_is_not_measured():
    assert coverage_of(random_predictions(0), uncalibrated(TRAITS)) is None


def test_coverage_without_annotated_scores_is_an_error():
    with pytest.raises(ValueError, match="expected annotated scores"):
        coverage_of(dataclasses.replace(random_predictions(0), y_true=None))
