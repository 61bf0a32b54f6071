"""Each doubt is raised on its evidence, and only then."""

import numpy as np
import pytest

from pipeline.core.traits import FIRST_IMPRESSIONS, traits_entry
from pipeline.records.predictions import Predictions
from pipeline.report.caveats import find_doubts, has_random_weights


def titles(records):
    return [doubt.title for doubt in find_doubts(records)]


def detail(records, title):
    (found,) = [doubt.detail for doubt in find_doubts(records) if doubt.title == title]
    return found.replace("\N{NO-BREAK SPACE}", " ")


def seriousness(records):
    return {doubt.title: doubt.is_serious for doubt in find_doubts(records)}


def shared(pair, groups=12, clips=0.837):
    return {"group_overlap": {pair: {"shared_groups": groups, "shared_clips": clips}}}


def test_a_sound_run_is_doubted_for_its_one_seed_alone(records_with):
    records = records_with(status="FINISHED")

    assert titles(records) == ["One seed"]
    assert "seed 0" in detail(records, "One seed")


def test_serious_doubts_come_first(records_with):
    records = records_with(evaluation={"num_groups": 12}, data={"encoder": "unknown"})

    assert titles(records) == ["Only 12 groups", "The encoder is unknown", "One seed"]


def test_a_leak_from_training_is_serious(records_with):
    records = records_with(evaluation=shared("train/evaluated"))

    title = "Train and evaluated clips share groups"
    assert seriousness(records)[title]
    assert "12 groups are on both sides, and with them 84 % of the evaluated clips" in detail(
        records, title
    )


def test_a_leak_between_the_held_out_sides_is_noted(records_with):
    records = records_with(summary=shared("validation/test"))

    assert seriousness(records)["Validation and test clips share groups"] is False


def test_scores_on_training_clips_are_serious_and_told_once(records_with):
    records = records_with(evaluation={"split": "all", **shared("train/evaluated")})

    assert titles(records) == ["The scores are on all clips", "One seed"]


def test_ruined_features_are_serious_and_told_with_their_place(records_with):
    warning = {"title": "The static features are constant", "detail": "static.npy: every clip"}
    doubt = find_doubts(records_with(data={"warnings": [warning]}))[0]
    assert (doubt.title, doubt.detail, doubt.is_serious) == (*warning.values(), True)


def test_a_trait_that_is_scored_in_reverse_is_noted(records_with):
    (doubt,) = [
        doubt
        for doubt in find_doubts(records_with(data=traits_entry(FIRST_IMPRESSIONS)))
        if "reverse" in doubt.title
    ]
    assert doubt.title == "Neuroticism is scored in reverse"
    assert "emotionally stable" in doubt.detail
    assert not doubt.is_serious


def test_features_without_a_clip_table_have_no_groups(records_with):
    records = records_with(data={"sources": ["static.npy", "dynamic.npy", "labels.npy"]})

    assert seriousness(records)["No groups are known"]


def test_clips_that_are_groups_of_their_own_are_noted(records_with):
    records = records_with(evaluation={"num_groups": 600})

    assert seriousness(records)["Each clip is a group of its own"] is False


@pytest.mark.parametrize(("num_groups", "is_doubted"), [(29, True), (30, False)])
def test_fewer_than_thirty_groups_are_few(records_with, num_groups, is_doubted):
    records = records_with(evaluation={"num_groups": num_groups})

    assert (f"Only {num_groups} groups" in titles(records)) is is_doubted


def test_validation_scores_are_a_little_too_good(records_with):
    records = records_with(evaluation={"split": "validation"})

    told = detail(records, "The clips that chose the epoch are the clips that score it")
    assert "chosen among 20 by val_mae" in told


def test_one_epoch_leaves_nothing_to_choose(records_with):
    records = records_with(
        evaluation={"split": "validation"}, summary={"num_epochs": 1, "best_epoch": 1}
    )

    assert titles(records) == ["One seed"]


def test_folds_choose_their_epochs_too(records_with, contents):
    contents["config.yaml"]["training"]["num_folds"] = 5

    records = records_with(config=contents["config.yaml"], evaluation={"split": "validation"})

    told = detail(records, "The clips that chose the epoch are the clips that score it")
    assert told.startswith("Each fold kept its best epoch")
    assert "The scores are pooled over folds" in titles(records)


def test_scores_of_the_kept_model_are_those_of_no_fold(records_with, contents):
    contents["config.yaml"]["training"]["num_folds"] = 5

    records = records_with(config=contents["config.yaml"], evaluation={"split": "test"})

    assert "The scores are pooled over folds" not in titles(records)


@pytest.mark.parametrize(
    ("best_epoch", "title"),
    [(20, "The best epoch is the last"), (1, "The best epoch is the first")],
)
def test_a_best_epoch_at_an_end_is_noted(records_with, best_epoch, title):
    assert title in titles(records_with(summary={"best_epoch": best_epoch}))


def test_the_last_epoch_of_a_fit_without_validation_is_no_news(records_with):
    records = records_with(summary={"best_epoch": 20, "monitor": "loss"})

    assert titles(records) == ["One seed"]


def scores_of_spread(truth, predicted):
    """Predictions whose first trait has these standard deviations."""
    y_true, y_pred = np.tile([[0.0], [0.4]], (1, 5)), np.tile([[0.1], [0.3]], (1, 5))
    y_true[:, 0], y_pred[:, 0] = [0.5 - truth, 0.5 + truth], [0.5 - predicted, 0.5 + predicted]
    return Predictions(clip_ids=["a", "b"], groups=["g", "h"], y_true=y_true, y_pred=y_pred)


def test_annotations_that_hardly_vary_are_serious(records_with):
    records = records_with(predictions=scores_of_spread(0.01, 0.1))

    assert seriousness(records)["Annotations are nearly constant"]
    told = detail(records, "Annotations are nearly constant")
    assert "openness (standard deviation 0.010);" in told


def test_predictions_that_hardly_vary_are_serious(records_with):
    records = records_with(predictions=scores_of_spread(0.1, 0.0))

    assert seriousness(records)["Predictions are nearly constant"]
    assert "openness (0 %):" in detail(records, "Predictions are nearly constant").replace(
        "\xa0", " "
    )


def test_a_baseline_that_is_not_beaten_is_named_once(records_with, scores):
    near = scores(r2=(0.46, 0.41, 0.51), accuracy=(0.911, 0.90, 0.92))

    records = records_with(evaluation={"baselines": {"ridge": near}})

    title = "Not shown to be better than ridge regression in R² and accuracy"
    assert seriousness(records)[title] is False
    assert detail(records, title).startswith(
        "R² 0.450 [0.400, 0.500] against 0.460 [0.410, 0.510], a difference of "
    )


def test_a_baseline_that_is_better_is_serious(records_with, scores):
    better = scores(r2=(0.60, 0.55, 0.65), accuracy=(0.911, 0.90, 0.92))

    records = records_with(evaluation={"baselines": {"ridge": better}})

    assert seriousness(records)["Worse than ridge regression in R²"]


def test_a_model_that_does_not_beat_knowing_nothing_is_serious(records_with, scores):
    records = records_with(evaluation={"baselines": {"training_mean": scores()}})

    title = "Not shown to be better than the training mean in R² and accuracy"
    assert seriousness(records)[title]


def test_synthetic_clips_say_nothing_about_people(records_with, contents):
    contents["config.yaml"]["data"]["synthetic"] = {}

    assert "The clips are synthetic" in titles(records_with(config=contents["config.yaml"]))


def test_an_encoder_with_random_weights_is_serious(records_with):
    encoder = {"static": {"name": "resnet50", "weights": "random"}, "dynamic": "flow"}

    records = records_with(data={"encoder": encoder})

    assert seriousness(records)["The encoder has random weights"]


def test_layers_that_are_frozen_with_random_weights_are_serious(records_with):
    records = records_with(summary={"frozen_at_random": ["static_tokens", "traits"]})

    title = "Layers are frozen with random weights"
    assert seriousness(records)[title]
    assert "static_tokens and traits never learned" in detail(records, title)


@pytest.mark.parametrize(
    ("encoder", "is_random"),
    [
        ("resnet50, random weights", True),
        ([{"weights": "random"}], True),
        ("hog", False),
        ({"name": "hog", "weights": None}, False),
        ({"weights": "imagenet", "width": 512}, False),
    ],
)
def test_only_an_encoder_that_says_so_has_random_weights(encoder, is_random):
    assert has_random_weights(encoder) is is_random


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_a_run_that_did_not_end_in_order_is_serious(records_with, status):
    records = records_with(status=status)

    assert status in detail(records, "The run did not end in order")


def test_a_run_without_a_summary_is_not_finished(records_with):
    history = {"epoch": {"epoch_numbers": [1, 2]}}

    records = records_with(summary=None, history=history)

    assert "2 of 20 epochs are on record" in detail(records, "The run is not finished")


@pytest.mark.parametrize(
    ("git", "told"),
    [
        ({}, "not started from a git checkout"),
        ({"commit": "0123456789abcdef", "is_dirty": True}, "changed after commit 0123456789ab"),
    ],
)
def test_code_that_is_not_on_record_is_noted(records_with, git, told):
    records = records_with(environment={"git": git})

    assert told in detail(records, "The code cannot be had again for certain")


def test_nothing_known_is_nothing_to_doubt(records_with):
    records = records_with(
        config=None, summary=None, evaluation=None, environment=None, data=None, history=None
    )

    assert titles(records) == []
