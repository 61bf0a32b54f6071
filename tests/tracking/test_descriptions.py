import dataclasses

import numpy as np
import pytest

from pipeline.core.traits import FIRST_IMPRESSIONS, TRAITS
from pipeline.evaluation.report import build_report
from pipeline.records.predictions import Predictions
from pipeline.tracking.descriptions import describe_report


@pytest.fixture
def report():
    rng = np.random.default_rng(0)
    y_true = rng.random((20, 5))
    predictions = Predictions(
        clip_ids=np.array([f"c{number}" for number in range(20)]),
        groups=np.array([f"g{number // 2}" for number in range(20)]),
        y_pred=y_true,
        y_true=y_true,
        trait_names=TRAITS,
    )
    baselines = {"ridge": np.full((20, 5), 0.5)}
    return build_report(predictions, baselines, split="test", num_resamples=100, seed=0)


def test_the_first_paragraph_has_the_scores_the_clips_and_ridge(report):
    first = describe_report(report, ()).partition("\n\n")[0]
    assert first.startswith("**accuracy 1.0000")
    assert "20 test clips of 10 groups" in first
    assert "Ridge regression: accuracy 0." in first


def test_the_table_has_a_row_per_baseline(report):
    table = describe_report(report, ()).split("\n\n")[1].splitlines()
    assert [line.split("|")[1] for line in table[2:]] == ["**model**", "ridge regression"]


def test_shared_groups_and_reversed_traits_are_described(report):
    overlap = {"train/evaluated": {"shared_groups": 5, "shared_clips": 0.25}}
    text = describe_report(dataclasses.replace(report, group_overlap=overlap), FIRST_IMPRESSIONS)
    assert "25% of the clips share a group" in text
    assert "Neuroticism is scored in reverse" in text
