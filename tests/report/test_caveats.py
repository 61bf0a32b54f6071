import numpy as np
import pytest

from pipeline.core.traits import FIRST_IMPRESSIONS, traits_entry
from pipeline.records.predictions import Predictions
from pipeline.report.caveats import find_caveats
from tests.report.conftest import make_scores


def titles(records):
    return [caveat.title for caveat in find_caveats(records)]


@pytest.fixture
def changed(records_with, contents):
    """Return a function that builds records of a run with changed files."""

    def build(folds=0, synthetic=None, **changes):
        contents["config.yaml"]["training"]["num_folds"] = folds
        contents["config.yaml"]["data"]["synthetic"] = synthetic
        return records_with(**{"config": contents["config.yaml"], **changes})

    return build


def shared(pair):
    return {"group_overlap": {pair: {"shared_groups": 12, "shared_clips": 0.837}}}


def test_the_only_caveat_of_a_sound_run_is_its_single_seed(records_with):
    (caveat,) = find_caveats(records_with(status="FINISHED"))
    assert (caveat.title, caveat.is_serious) == ("One seed", False)
    assert "seed 0" in caveat.detail


def test_serious_caveats_come_first(records_with):
    records = records_with(evaluation={"num_groups": 12}, data={"encoder": "unknown"})
    assert titles(records) == ["Only 12 groups", "The encoder is unknown", "One seed"]


WARNING = {"title": "The static features are constant", "detail": "static.npy: every clip"}
RANDOM = {"static": {"name": "resnet50", "weights": "random"}, "dynamic": "flow"}
CHANGED = {"commit": "0123456789abcdef", "is_dirty": True}
LEAK, HELD_OUT = shared("train/evaluated"), shared("validation/test")
ALL, VALIDATION = {"split": "all", **LEAK}, {"split": "validation"}
NO_TABLE = {"sources": ["static.npy", "dynamic.npy", "labels.npy"]}
UNGROUPED = {
    "summary": {"num_clips": {"train": 5, "test": 3}, "num_groups": {"train": 5, "test": 3}},
    "evaluation": {"num_clips": 30, "num_groups": 30},
}
TWO_EPOCHS = {"epoch": {"epoch_numbers": [1, 2]}}


@pytest.mark.parametrize(
    ("changes", "title", "detail", "is_serious"),
    [
        ({"evaluation": LEAK}, "Train and evaluated clips share", "12 groups are in both", True),
        ({"evaluation": LEAK}, "Train and evaluated clips share", "84 % of the evaluated", True),
        ({"summary": HELD_OUT}, "Validation and test clips share", "84 % of the test", False),
        ({"evaluation": ALL}, "The scores are from all clips", "training clips", True),
        ({"data": NO_TABLE}, "The groups are unknown", "clips.csv", True),
        (UNGROUPED, "Every clip counts as a different person", "give --groups", False),
        (UNGROUPED, "Every clip counts as a different person", "8 clips in 8 groups", False),
        ({"evaluation": {"num_groups": 29}}, "Only 29 groups", "fewer than 30 groups", True),
        ({"evaluation": VALIDATION}, "used to select the epoch", "20 epochs was selected", False),
        ({"evaluation": VALIDATION, "folds": 5}, "used to select the epoch", "each fold", False),
        ({"evaluation": VALIDATION, "folds": 5}, "pooled over folds", "too low", False),
        (
            {"summary": {"best_epoch": 20}},
            "The best epoch is the last epoch",
            "validation MAE",
            False,
        ),
        (
            {"summary": {"best_epoch": 1}},
            "The best epoch is the first epoch",
            "validation MAE",
            False,
        ),
        ({"synthetic": {}}, "The clips are synthetic", "do not apply to people", False),
        ({"data": {"warnings": [WARNING]}}, WARNING["title"], WARNING["detail"], True),
        ({"data": traits_entry(FIRST_IMPRESSIONS)}, "Neuroticism", "emotionally stable", False),
        ({"data": {"encoder": RANDOM}}, "The encoder has random weights", "resnet50", True),
        ({"data": {"encoder": ["random"]}}, "The encoder has random weights", "random", True),
        ({"summary": {"frozen_at_random": ["a", "b"]}}, "Layers are frozen", "a and b", True),
        ({"status": "FAILED"}, "The run failed or was killed", "FAILED", True),
        ({"status": "KILLED"}, "The run failed or was killed", "KILLED", True),
        ({"summary": None, "history": TWO_EPOCHS}, "not finished", "2 of 20 epochs", True),
        ({"environment": {"git": {}}}, "The code may not be", "git checkout", False),
        ({"environment": {"git": CHANGED}}, "The code may not be", "commit 0123456789ab.", False),
    ],
)
def test_each_caveat_has_its_evidence(changed, changes, title, detail, is_serious):
    (caveat,) = [caveat for caveat in find_caveats(changed(**changes)) if title in caveat.title]
    assert detail in caveat.detail.replace("\N{NO-BREAK SPACE}", " ")
    assert caveat.is_serious is is_serious


@pytest.mark.parametrize("changes", [UNGROUPED, {"data": NO_TABLE}])
def test_unknown_groups_come_before_serious_caveats(records_with, changes):
    first, second, *_ = find_caveats(records_with(status="FAILED", **changes))
    assert "groups" in first.detail
    assert "failed" in second.title


ONE_EPOCH = {"num_epochs": 1, "best_epoch": 1}
NOTHING = dict.fromkeys(("config", "summary", "evaluation", "environment", "data", "history"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"evaluation": ALL}, ["The scores are from all clips", "One seed"]),
        ({"evaluation": {"num_groups": 30}}, ["One seed"]),
        ({"evaluation": VALIDATION, "summary": ONE_EPOCH}, ["One seed"]),
        ({"summary": {"best_epoch": 20, "monitor": "loss"}}, ["One seed"]),
        ({"folds": 5}, ["One seed"]),
        # Of the held-out clips, no two have the same group, but the training clips have groups.
        ({"evaluation": {"num_groups": 600}}, ["One seed"]),
        ({"data": {"encoder": {"name": "hog", "weights": None}}}, ["One seed"]),
        (NOTHING, []),
    ],
)
def test_a_run_without_the_problem_does_not_have_the_caveat(changed, changes, expected):
    assert titles(changed(**changes)) == expected


@pytest.mark.parametrize(
    ("truth", "predicted", "title", "detail"),
    [
        (0.01, 0.1, "Annotations are nearly constant", "openness (standard deviation 0.010)."),
        (0.1, 0.0, "Predictions are nearly constant", "openness (0 %)."),
    ],
)
def test_nearly_constant_scores_are_a_serious_caveat(records_with, truth, predicted, title, detail):
    y_true, y_pred = np.tile([[0.0], [0.4]], (1, 5)), np.tile([[0.1], [0.3]], (1, 5))
    y_true[:, 0], y_pred[:, 0] = [0.5 - truth, 0.5 + truth], [0.5 - predicted, 0.5 + predicted]
    predictions = Predictions(clip_ids=["a", "b"], groups=["g", "h"], y_true=y_true, y_pred=y_pred)
    caveat = find_caveats(records_with(predictions=predictions))[0]
    assert (caveat.title, caveat.is_serious) == (title, True)
    assert detail in caveat.detail.replace("\N{NO-BREAK SPACE}", " ")


NEAR = {"r2": (0.46, 0.41, 0.51), "accuracy": (0.911, 0.90, 0.92)}
BETTER = {"r2": (0.60, 0.55, 0.65), "accuracy": (0.911, 0.90, 0.92)}


@pytest.mark.parametrize(
    ("baseline", "changes", "title", "is_serious"),
    [
        ("ridge", NEAR, "Not shown to be better than ridge regression in R² and accuracy", False),
        ("ridge", BETTER, "Worse than ridge regression in R²", True),
        ("training_mean", {}, "Not shown to be better than the training mean in R² and", True),
    ],
)
def test_a_baseline_that_is_not_beaten_is_a_caveat(
    records_with, baseline, changes, title, is_serious
):
    records = records_with(evaluation={"baselines": {baseline: make_scores(**changes)}})
    (caveat,) = [caveat for caveat in find_caveats(records) if title in caveat.title]
    assert caveat.is_serious is is_serious
    values = make_scores(**changes)["r2"]["mean"].values()
    for number in (0.45, 0.40, 0.50, *values):
        assert f"{number:.3f}" in caveat.detail
