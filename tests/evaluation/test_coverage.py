import numpy as np
import pytest

from pipeline.core.traits import NUM_TRAITS, TRAITS
from pipeline.evaluation.intervals.conformal import calibrate
from pipeline.evaluation.intervals.coverage import (
    HALVED_GROUPS,
    NEW_GROUPS,
    measure_coverage,
    measure_coverage_in_halves,
)
from pipeline.records.calibration import Calibration, uncalibrated
from pipeline.records.predictions import Predictions


def predictions_of(errors, groups):
    y_pred = np.full((len(errors), NUM_TRAITS), 0.5)
    return Predictions(
        clip_ids=[f"c{index}" for index in range(len(errors))],
        groups=groups,
        y_pred=y_pred,
        y_true=y_pred + np.asarray(errors),
    )


def some_predictions(seed, num_groups=200, clips_per_group=3, scale=0.05):
    numbers = np.random.default_rng(seed)
    groups = np.repeat(np.arange(num_groups), clips_per_group)
    shared = numbers.normal(0, scale, (num_groups, NUM_TRAITS))[groups]
    errors = shared + numbers.normal(0, scale, (len(groups), NUM_TRAITS))
    return predictions_of(errors, groups)


def widths_of(half_width):
    return Calibration(
        level=0.9,
        half_widths=np.full(NUM_TRAITS, half_width),
        num_groups=20,
        num_clips=20,
        clips="validation",
    )


def test_every_group_weighs_the_same_in_the_covered_share():
    errors = np.repeat([[0.0], [0.3], [0.3], [0.3]], NUM_TRAITS, axis=1)
    found = measure_coverage(
        widths_of(0.1), predictions_of(errors, ["a", "b", "b", "b"]), num_resamples=10, seed=0
    )
    assert found.coverage["mean"].value == 0.5
    assert (found.num_clips, found.num_groups) == (4, 2)


def test_the_share_is_told_of_each_trait():
    errors = [[0.0, 0.3, 0.0, 0.3, 0.0]] * 3
    found = measure_coverage(
        widths_of(0.1), predictions_of(errors, ["a", "b", "c"]), num_resamples=10, seed=0
    )
    assert [found.coverage[trait].value for trait in TRAITS] == [1, 0, 1, 0, 1]
    assert found.coverage["mean"].value == pytest.approx(0.6)


def test_widths_are_those_of_intervals_that_end_where_scores_end():
    predictions = predictions_of(np.zeros((2, NUM_TRAITS)), ["a", "b"])
    object.__setattr__(predictions, "y_pred", np.array([[0.5] * 5, [1.0] * 5]))
    found = measure_coverage(widths_of(0.1), predictions, num_resamples=10, seed=0)
    assert found.mean_width["mean"] == pytest.approx((0.2 + 0.1) / 2)


def test_the_interval_of_the_share_is_wider_with_fewer_groups():
    def spread(num_groups):
        found = measure_coverage(
            widths_of(0.1), some_predictions(0, num_groups=num_groups), seed=0, num_resamples=300
        )
        return found.coverage["mean"].high - found.coverage["mean"].low

    assert spread(20) > 2 * spread(400)


def test_new_groups_are_covered_at_the_level():
    shares = []
    for seed in range(60):
        calibrated_on, new = some_predictions(2 * seed, 40), some_predictions(2 * seed + 1, 100)
        calibration = calibrate(calibrated_on.y_true, calibrated_on.y_pred, calibrated_on.groups)
        found = measure_coverage(calibration, new, num_resamples=10, seed=0)
        assert found.measured_on == NEW_GROUPS
        shares.append(found.coverage["mean"].value)
    assert 0.895 < np.mean(shares) < 0.95


def test_halves_tell_nearly_what_new_groups_would():
    found = measure_coverage_in_halves(
        some_predictions(0, 400), level=0.9, num_resamples=200, seed=0
    )
    assert found.measured_on == HALVED_GROUPS
    assert 0.88 < found.coverage["mean"].value < 0.93
    assert found.coverage["mean"].low < 0.9 < found.coverage["mean"].high


def test_halves_never_look_at_a_group_that_they_calibrated_on():
    # Each group has one error of its own: had a half seen all groups, all would be covered.
    groups = np.repeat(np.arange(20), 2)
    errors = np.repeat(np.where(np.arange(20) == 0, 0.4, 0.0), 2)[:, None] * np.ones(NUM_TRAITS)
    found = measure_coverage_in_halves(
        predictions_of(errors, groups), level=0.9, num_resamples=10, seed=0
    )
    assert found.coverage["mean"].value == pytest.approx(19 / 20)


def test_halves_of_the_same_seed_are_the_same():
    first, second = (
        measure_coverage_in_halves(some_predictions(1, 30), level=0.9, num_resamples=50, seed=4)
        for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(("num_groups", "is_measured"), [(17, False), (18, True)])
def test_half_of_the_groups_has_to_be_enough_to_calibrate_on(num_groups, is_measured):
    found = measure_coverage_in_halves(
        some_predictions(0, num_groups), level=0.9, num_resamples=10, seed=0
    )
    assert (found is not None) == is_measured


def test_intervals_of_the_whole_range_are_not_praised_for_their_coverage():
    assert measure_coverage(uncalibrated(), some_predictions(0), num_resamples=10, seed=0) is None


def test_clips_without_annotations_are_refused():
    predictions = some_predictions(0)
    object.__setattr__(predictions, "y_true", None)
    with pytest.raises(ValueError, match="needs annotated scores"):
        measure_coverage(widths_of(0.1), predictions, num_resamples=10, seed=0)
