import pytest

from pipeline.report.summary import evaluated_clips, summarize
from tests.report.conftest import make_scores


def text(records):
    """Return the summary as one line with normal spaces."""
    return " ".join(summarize(records)).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    "fact",
    [
        "2 streams (cross-attention)",
        "87,937 trainable weights and was trained on 4,800 clips from 2,000 groups",
        "static features (8 steps of 32 values) and dynamic features (16 values) (encoder: hog)",
        "20 epochs and 1 min 3 s",
        "epoch 17, the best by validation MAE (0.0835)",
        "On 600 test clips from 250 groups, R² is 0.450 [0.400, 0.500]",
        "accuracy is 0.9100 [0.9000, 0.9200]",
        "By R², the model is better than the training mean (−0.005) and ridge regression (0.300).",
        "95 % intervals from 2,000 resamples",
        "scores R² 0.340 and accuracy 0.9100",
    ],
)
def test_the_summary_contains_the_facts_of_the_run(records_with, fact):
    assert fact in text(records_with())


def test_an_uncertain_difference_may_be_chance(records_with):
    near = make_scores(r2=(0.44, 0.39, 0.49), accuracy=(0.915, 0.905, 0.925))
    found = text(records_with(evaluation={"baselines": {"ridge": near}}))
    assert "By R², the model is above ridge regression (0.440), which may be chance" in found
    assert "By accuracy, the model is below ridge regression (0.9150), which may be" in found


@pytest.mark.parametrize(
    ("changes", "present", "absent"),
    [
        ({"evaluation": {"num_groups": 1}}, "There are no intervals", "resamples"),
        ({"summary": None, "evaluation": None}, "1 min 3 s so far. There is no", "best by"),
        ({"evaluation": {"baselines": {}}}, "600 test clips", "other clips from the same"),
        ({"data": {"encoder": "unknown"}}, "dynamic features (16 values).", "unknown"),
        ({"summary": {"monitor": "loss"}}, "last epoch, because no clips", "best by loss"),
    ],
)
def test_unknown_facts_are_left_out(records_with, changes, present, absent):
    found = text(records_with(**changes))
    assert present in found
    assert absent not in found


@pytest.mark.parametrize(
    ("evaluation", "folds", "expected"),
    [
        ({}, 0, "600 test clips from 250 groups"),
        ({"split": "all"}, 0, "all 600 clips from 250 groups, training clips included"),
        ({"split": "validation"}, 5, "600 clips from 250 groups, each predicted by a fold that"),
    ],
)
def test_the_evaluated_clips_are_described(records_with, contents, evaluation, folds, expected):
    contents["config.yaml"]["training"]["num_folds"] = folds
    records = records_with(evaluation=evaluation, config=contents["config.yaml"])
    assert evaluated_clips(records, records.evaluation).startswith(expected)
