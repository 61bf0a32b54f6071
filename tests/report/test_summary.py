"""The summary says what was done and no more than is shown."""

import pytest

from pipeline.report.summary import evaluated_clips, headline, summarize


def text(records):
    """The summary as one line of plain spaces."""
    return " ".join(summarize(records)).replace("\N{NO-BREAK SPACE}", " ")


def test_the_headline_claims_what_is_shown(records_with):
    assert headline(records_with()) == (
        "Better than the training mean and ridge regression in R² and accuracy"
    )


def test_the_headline_leads_with_the_baseline_that_is_not_beaten(records_with, scores):
    records = records_with(
        evaluation={
            "baselines": {
                "training_mean": scores(r2=(0.0, -0.1, 0.1), accuracy=(0.8, 0.79, 0.81)),
                "ridge": scores(r2=(0.44, 0.39, 0.49), accuracy=(0.8, 0.79, 0.81)),
            }
        }
    )

    assert headline(records) == (
        "Not shown to be better than ridge regression in R²; "
        "better than the training mean in R² and accuracy; "
        "better than ridge regression in accuracy"
    )


def test_the_headline_admits_that_a_baseline_is_better(records_with, scores):
    better = scores(r2=(0.6, 0.55, 0.65), accuracy=(0.95, 0.94, 0.96))

    assert headline(records_with(evaluation={"baselines": {"ridge": better}})) == (
        "Worse than ridge regression in R² and accuracy"
    )


def test_a_leak_is_no_rival_to_beat(records_with, scores):
    leak = {"same_group_mean": scores(r2=(0.9, 0.89, 0.91))}

    told = headline(records_with(evaluation={"baselines": leak}))

    assert told == "Not compared with any baseline"


def test_without_an_evaluation_the_headline_claims_nothing(records_with):
    assert headline(records_with(evaluation=None)) == "No scores on held-out clips are known"


def test_the_summary_says_what_was_trained_on_what(records_with):
    told = text(records_with())

    assert "two streams (cross-attention)" in told
    assert "87,937 trainable weights and was fitted on 4,800 clips of 2,000 groups" in told
    assert "static features of shape 8 × 32 and dynamic ones of shape 16 (encoder: hog)" in told
    assert "over 20 epochs, and took 1 min 3 s" in told
    assert "those of epoch 17, the best by val_mae (0.0835)" in told


def test_the_summary_gives_scores_with_intervals_beside_the_baselines(records_with):
    told = text(records_with())

    assert "On 600 test clips of 250 groups, R² is 0.450 [0.400, 0.500]" in told
    assert "accuracy is 0.9100 [0.9000, 0.9200]" in told
    assert (
        "By R², the model is better than the training mean (−0.005) and ridge regression (0.300)."
    ) in told
    assert "only where the interval of the paired difference excludes zero." in told


def test_an_order_that_is_not_shown_is_called_so(records_with, scores):
    near = scores(r2=(0.44, 0.39, 0.49), accuracy=(0.915, 0.905, 0.925))

    told = text(records_with(evaluation={"baselines": {"ridge": near}}))

    assert "By R², the model is above ridge regression (0.440), which is not shown" in told
    assert "By accuracy, the model is below ridge regression (0.9150), which is not shown" in told


def test_one_group_has_no_intervals_to_speak_of(records_with):
    assert "there are no intervals" in text(records_with(evaluation={"num_groups": 1}))


@pytest.mark.parametrize(
    ("evaluation", "folds", "told"),
    [
        ({}, 0, "600 test clips of 250 groups"),
        ({"split": "all"}, 0, "all 600 clips of 250 groups, training clips included"),
        (
            {"split": "validation"},
            5,
            "600 clips of 250 groups, each predicted by a fold that had not seen it",
        ),
    ],
)
def test_the_evaluated_clips_are_named(records_with, contents, evaluation, folds, told):
    contents["config.yaml"]["training"]["num_folds"] = folds

    records = records_with(evaluation=evaluation, config=contents["config.yaml"])

    assert evaluated_clips(records, records.evaluation) == told


def test_a_run_that_was_killed_tells_the_epochs_on_record(records_with):
    told = text(records_with(summary=None, evaluation=None))

    assert "Training went over 20 epochs, and took 1 min 3 s, as far as is on record." in told
    assert "No evaluation is at hand" in told


def test_the_price_of_a_leak_is_told(records_with):
    assert "which no model may know, scores R² 0.340 and accuracy 0.9100" in text(records_with())


def test_groups_of_one_clip_have_no_leak_to_price(records_with):
    alone = {"num_clips": 250, "num_groups": 250}

    assert "which no model may know" not in text(records_with(evaluation=alone))


def test_a_run_that_held_nothing_out_keeps_its_last_weights(records_with):
    told = text(records_with(summary={"monitor": "loss", "best_epoch": 20}, evaluation=None))

    assert "the weights kept are the last ones, as no clips were held out" in told
    assert "best by loss" not in told
