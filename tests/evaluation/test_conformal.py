import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.traits import NUM_TRAITS
from pipeline.evaluation.intervals.conformal import calibrate
from pipeline.records.calibration import min_groups


def calibrate_errors(errors, groups, **options):
    """Calibrate on clips whose predictions miss by `errors`, the same for every trait."""
    y_pred = np.zeros((len(errors), NUM_TRAITS))
    return calibrate(y_pred + np.asarray(errors)[:, None], y_pred, groups, **options)


def hierarchical_clips(numbers, num_groups, *, group_spread, clip_spread, max_clips=8):
    """Errors with a share that is common to the group; groups differ in size and in spread."""
    sizes = numbers.integers(1, max_clips + 1, num_groups)
    groups = np.repeat(np.arange(num_groups), sizes)
    shared = numbers.normal(0, group_spread, (num_groups, NUM_TRAITS))[groups]
    spread = clip_spread * numbers.uniform(0.2, 2, num_groups)[groups, None]
    errors = shared + spread * numbers.normal(size=(len(groups), NUM_TRAITS))
    return errors, groups


def group_weighted_coverage(half_widths, errors, groups):
    covered = (np.abs(errors) <= half_widths).mean(axis=1)
    return np.mean([covered[groups == group].mean() for group in np.unique(groups)])


def test_with_one_clip_a_group_it_is_the_quantile_of_split_conformal_prediction():
    errors = np.random.default_rng(0).permutation(np.arange(1, 20) / 100)
    found = calibrate_errors(errors, [f"g{index}" for index in range(19)], level=0.9)
    assert found.half_widths == pytest.approx(18 / 100)  # the ceil(0.9 * 20) = 18th smallest


def test_each_group_weighs_the_same_however_many_clips_it_has():
    # Nine groups: one of 1000 clips with large errors is still one of nine.
    errors = [*(0.1 * step for step in range(1, 9)), *[5.0] * 1000]
    groups = [*(f"small {step}" for step in range(8)), *["large"] * 1000]
    found = calibrate_errors(errors, groups, level=0.5)
    assert found.half_widths == pytest.approx(0.5)  # five of ten groups


def test_a_group_that_stands_in_the_list_twice_as_often_changes_nothing():
    numbers = np.random.default_rng(1)
    errors, groups = numbers.random(60), np.repeat(np.arange(20), 3)
    once = calibrate_errors(errors, groups.astype(str))
    again = np.concatenate([np.arange(60), np.flatnonzero(groups < 5)])
    twice = calibrate_errors(errors[again], groups[again].astype(str))
    np.testing.assert_array_equal(once.half_widths, twice.half_widths)


def test_the_order_of_the_clips_does_not_matter():
    numbers = np.random.default_rng(2)
    errors, groups = numbers.random(60), np.repeat(np.arange(20), 3).astype(str)
    order = numbers.permutation(60)
    np.testing.assert_array_equal(
        calibrate_errors(errors, groups).half_widths,
        calibrate_errors(errors[order], groups[order]).half_widths,
    )


@pytest.mark.parametrize(("level", "expected"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19)])
def test_a_level_takes_as_many_groups_as_its_finite_sample_correction_says(level, expected):
    assert min_groups(level) == expected
    names = [f"g{index}" for index in range(expected)]
    assert calibrate_errors(np.ones(expected), names, level=level).is_informative
    assert not calibrate_errors(np.ones(expected - 1), names[:-1], level=level).is_informative


def test_with_too_few_groups_every_interval_is_the_whole_range_and_says_why():
    found = calibrate_errors(np.full(80, 0.1), np.repeat(np.arange(8), 10).astype(str))
    low, high = found.intervals(np.full((3, NUM_TRAITS), 0.5))
    assert (low == 0).all()
    assert (high == 1).all()
    assert "9 held-out groups or more" in found.warning
    assert "there were 8" in found.warning


def test_traits_have_widths_of_their_own():
    y_pred = np.zeros((9, NUM_TRAITS))
    y_true = y_pred + np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    found = calibrate(y_true, y_pred, [f"g{index}" for index in range(9)])
    np.testing.assert_allclose(found.half_widths, [0.1, 0.2, 0.3, 0.4, 0.5])


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_groups=st.integers(9, 60),
    group_spread=st.sampled_from([0.0, 0.5, 2.0]),
    level=st.sampled_from([0.5, 0.8, 0.9]),
)
def test_intervals_cover_new_groups_at_their_level_on_average(
    seed, num_groups, group_spread, level
):
    numbers = np.random.default_rng(seed)
    coverage = []
    for _ in range(100):
        spreads = {"group_spread": group_spread, "clip_spread": 1.0}
        errors, groups = hierarchical_clips(numbers, num_groups, **spreads)
        found = calibrate(errors, np.zeros_like(errors), groups.astype(str), level=level)
        coverage.append(
            group_weighted_coverage(found.half_widths, *hierarchical_clips(numbers, 100, **spreads))
        )
    # Three standard errors below; above, no more than 2 / (G + 1) is given away.
    error = 3 * np.std(coverage) / math.sqrt(len(coverage))
    assert level - error <= np.mean(coverage) <= level + 2 / (num_groups + 1) + error


def test_clips_taken_for_independent_draws_would_cover_too_little():
    """What weighing clips instead of groups would do where large groups are the easy ones."""
    numbers = np.random.default_rng(0)
    by_group, by_clip = [], []
    for _ in range(200):
        sizes = np.where(np.arange(40) < 20, 1, 20)
        groups = np.repeat(np.arange(40), sizes)
        errors = (
            numbers.normal(size=(len(groups), NUM_TRAITS))
            * np.where(groups < 20, 3.0, 1.0)[:, None]
        )
        zeros = np.zeros_like(errors)
        for names, coverage in ((groups, by_group), (np.arange(len(groups)), by_clip)):
            found = calibrate(errors, zeros, names.astype(str))
            coverage.append(group_weighted_coverage(found.half_widths, errors, groups))
    assert np.mean(by_group) > 0.9
    assert np.mean(by_clip) < 0.8


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, math.nan])
def test_a_level_out_of_range_is_refused(level):
    with pytest.raises(ValueError, match="level between 0 and 1"):
        calibrate_errors([0.1], ["g"], level=level)


def test_a_group_for_every_clip_is_needed():
    with pytest.raises(ValueError, match="2 groups need as many rows"):
        calibrate_errors([0.1], ["g", "h"])
