import numpy as np
import pandas as pd
import pytest

from pipeline.config.loading import load_config
from pipeline.evaluation.intervals.conformal import HALVED_GROUPS, NEW_GROUPS
from pipeline.records.calibration import OUT_OF_FOLD, VALIDATION
from pipeline.records.predictions import Predictions
from pipeline.workflows.prediction_intervals import (
    calibrate_held_out,
    judge_evaluated,
    judge_held_out,
    of_unseen_groups,
)

CONFIG = load_config(None, {"evaluation.num_resamples": 100})


def clips_of(name, num_groups, seed=0):
    """Three clips a group; ids and groups begin with `name`."""
    numbers = np.random.default_rng(seed)
    y_pred = numbers.uniform(0.3, 0.7, (3 * num_groups, 5))
    return Predictions(
        clip_ids=[f"{name}{index}" for index in range(3 * num_groups)],
        groups=[f"{name}{index // 3}" for index in range(3 * num_groups)],
        y_pred=y_pred,
        y_true=np.clip(y_pred + numbers.normal(0, 0.1, y_pred.shape), 0, 1),
    )


def split_of(**sides):
    """The split of a training: side -> its clips."""
    return pd.concat(
        pd.DataFrame({"clip_id": clips.clip_ids, "group": clips.groups, "split": side})
        for side, clips in sides.items()
    )


def join(*parts):
    return Predictions(
        clip_ids=sum((part.clip_ids for part in parts), ()),
        groups=sum((part.groups for part in parts), ()),
        y_pred=np.concatenate([part.y_pred for part in parts]),
        y_true=np.concatenate([part.y_true for part in parts]),
    )


TRAINED, HELD_OUT, NEW = clips_of("train", 30), clips_of("held", 40, 1), clips_of("new", 50, 2)
SPLIT = split_of(train=TRAINED, validation=HELD_OUT, test=NEW)
CALIBRATION = calibrate_held_out(HELD_OUT, CONFIG)


def test_a_run_is_calibrated_on_its_validation_clips():
    assert (CALIBRATION.clips, CALIBRATION.num_groups) == (VALIDATION, 40)


def test_cross_validation_is_calibrated_on_the_predictions_of_its_folds():
    config = load_config(None, {"training.num_folds": 4})
    assert calibrate_held_out(HELD_OUT, config).clips == OUT_OF_FOLD


def test_clips_of_groups_that_the_training_has_seen_are_no_new_ones():
    found = of_unseen_groups(join(TRAINED, HELD_OUT), TRAINED.groups)
    assert found.clip_ids == HELD_OUT.clip_ids
    np.testing.assert_array_equal(found.y_true, HELD_OUT.y_true)


def test_where_every_group_was_seen_intervals_are_the_whole_range_and_nothing_is_measured():
    nothing = of_unseen_groups(HELD_OUT, HELD_OUT.groups)
    found = calibrate_held_out(nothing, CONFIG)
    assert (found.num_groups, found.is_informative) == (0, False)
    assert judge_held_out(found, nothing, CONFIG) is None


def test_calibration_clips_of_groups_that_the_training_has_seen_do_not_count():
    split = split_of(train=join(TRAINED, HELD_OUT.take(np.arange(1))), validation=HELD_OUT)
    found = judge_evaluated(CALIBRATION, HELD_OUT, split, CONFIG)
    assert (found.measured_on, found.num_groups) == (HALVED_GROUPS, 39)


def test_test_clips_are_new_groups():
    found = judge_evaluated(CALIBRATION, NEW, SPLIT, CONFIG)
    assert (found.measured_on, found.num_groups) == (NEW_GROUPS, 50)


def test_clips_that_the_model_has_nothing_to_do_with_are_new_groups():
    other = clips_of("elsewhere", 12, 3)
    found = judge_evaluated(CALIBRATION, other, SPLIT, CONFIG)
    assert (found.measured_on, found.num_groups) == (NEW_GROUPS, 12)


def test_of_all_clips_those_of_new_groups_are_looked_at():
    found = judge_evaluated(CALIBRATION, join(TRAINED, HELD_OUT, NEW), SPLIT, CONFIG)
    assert (found.measured_on, found.num_groups) == (NEW_GROUPS, 50)


def test_a_test_group_that_the_training_has_seen_is_not_new():
    split = split_of(train=join(TRAINED, NEW.take(np.arange(3))), validation=HELD_OUT)
    found = judge_evaluated(CALIBRATION, NEW, split, CONFIG)
    assert found.num_groups == 49


def test_calibration_clips_are_looked_at_in_halves():
    found = judge_evaluated(CALIBRATION, HELD_OUT, SPLIT, CONFIG)
    assert found == judge_held_out(CALIBRATION, HELD_OUT, CONFIG)
    assert (found.measured_on, found.num_groups) == (HALVED_GROUPS, 40)


def test_without_new_groups_training_clips_do_not_count():
    found = judge_evaluated(CALIBRATION, join(TRAINED, HELD_OUT), SPLIT, CONFIG)
    assert (found.measured_on, found.num_groups) == (HALVED_GROUPS, 40)


def test_training_clips_alone_show_nothing():
    assert judge_evaluated(CALIBRATION, TRAINED, SPLIT, CONFIG) is None


def test_clips_without_annotations_cannot_be_calibrated_on():
    unknown = Predictions(clip_ids=NEW.clip_ids, groups=NEW.groups, y_pred=NEW.y_pred)
    with pytest.raises(ValueError, match="needs annotated scores"):
        calibrate_held_out(unknown, CONFIG)
