import numpy as np
import pandas as pd
import pytest

from pipeline.config.loading import load_config
from pipeline.evaluation.intervals.conformal import HALVED_GROUPS, NEW_GROUPS
from pipeline.records.calibration import OUT_OF_FOLD, VALIDATION
from pipeline.records.predictions import Predictions
from pipeline.workflows.prediction_intervals import (
    calibrate_held_out,
    coverage_in_halves,
    coverage_of_evaluated,
    unseen_groups,
)

CONFIG = load_config(None, {"evaluation.num_resamples": 100})


def make_clips(name, num_groups, seed=0):
    """Make three clips per group; ids and groups begin with `name`."""
    numbers = np.random.default_rng(seed)
    y_pred = numbers.uniform(0.3, 0.7, (3 * num_groups, 5))
    return Predictions(
        clip_ids=[f"{name}{index}" for index in range(3 * num_groups)],
        groups=[f"{name}{index // 3}" for index in range(3 * num_groups)],
        y_pred=y_pred,
        y_true=np.clip(y_pred + numbers.normal(0, 0.1, y_pred.shape), 0, 1),
    )


def make_split(**subsets):
    return pd.concat(
        pd.DataFrame({"clip_id": clips.clip_ids, "group": clips.groups, "split": name})
        for name, clips in subsets.items()
    )


def join(*parts):
    return Predictions(
        clip_ids=sum((part.clip_ids for part in parts), ()),
        groups=sum((part.groups for part in parts), ()),
        y_pred=np.concatenate([part.y_pred for part in parts]),
        y_true=np.concatenate([part.y_true for part in parts]),
    )


TRAINING, HELD_OUT, NEW = make_clips("train", 30), make_clips("held", 40, 1), make_clips("n", 50, 2)
SPLIT = make_split(train=TRAINING, validation=HELD_OUT, test=NEW)
CALIBRATION = calibrate_held_out(HELD_OUT, CONFIG)


def test_the_calibration_uses_validation_clips_or_out_of_fold_predictions():
    assert (CALIBRATION.clips, CALIBRATION.num_groups) == (VALIDATION, 40)
    config = load_config(None, {"training.num_folds": 4})
    assert calibrate_held_out(HELD_OUT, config).clips == OUT_OF_FOLD


def test_clips_of_training_groups_are_left_out():
    found = unseen_groups(join(TRAINING, HELD_OUT), TRAINING.groups)
    assert found.clip_ids == HELD_OUT.clip_ids
    np.testing.assert_array_equal(found.y_true, HELD_OUT.y_true)


def test_without_unseen_groups_nothing_is_calibrated_or_measured():
    nothing = unseen_groups(HELD_OUT, HELD_OUT.groups)
    found = calibrate_held_out(nothing, CONFIG)
    assert (found.num_groups, found.is_informative) == (0, False)
    assert coverage_in_halves(found, nothing, CONFIG) is None


@pytest.mark.parametrize(
    ("evaluated", "split", "expected"),
    [
        (NEW, SPLIT, (NEW_GROUPS, 50)),
        (make_clips("elsewhere", 12, 3), SPLIT, (NEW_GROUPS, 12)),
        (join(TRAINING, HELD_OUT, NEW), SPLIT, (NEW_GROUPS, 50)),
        (HELD_OUT, SPLIT, (HALVED_GROUPS, 40)),
        (join(TRAINING, HELD_OUT), SPLIT, (HALVED_GROUPS, 40)),
        (  # one test group also has training clips
            NEW,
            make_split(train=join(TRAINING, NEW.take(np.arange(3))), validation=HELD_OUT),
            (NEW_GROUPS, 49),
        ),
        (  # one validation group also has training clips
            HELD_OUT,
            make_split(train=join(TRAINING, HELD_OUT.take(np.arange(1))), validation=HELD_OUT),
            (HALVED_GROUPS, 39),
        ),
    ],
)
def test_coverage_is_measured_on_new_groups_or_else_in_halves(evaluated, split, expected):
    found = coverage_of_evaluated(CALIBRATION, evaluated, split, CONFIG)
    assert (found.measured_on, found.num_groups) == expected


def test_coverage_in_halves_is_the_same_as_in_training():
    found = coverage_of_evaluated(CALIBRATION, HELD_OUT, SPLIT, CONFIG)
    assert found == coverage_in_halves(CALIBRATION, HELD_OUT, CONFIG)


def test_training_clips_alone_have_no_coverage():
    assert coverage_of_evaluated(CALIBRATION, TRAINING, SPLIT, CONFIG) is None
