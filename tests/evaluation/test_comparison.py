import json

import numpy as np
import pytest

from pipeline.core.errors import RunError
from pipeline.core.traits import TRAITS
from pipeline.evaluation.comparison import Comparison, compare_predictions
from pipeline.metrics.regression import METRICS, trait_metrics
from pipeline.records.evaluation import Interval
from pipeline.records.predictions import Predictions

NUMBERS = np.random.default_rng(0)
TRUE = NUMBERS.random((60, 5))
NOISE = NUMBERS.normal(0, 0.1, TRUE.shape)
OTHER_TRUE = TRUE.copy()
OTHER_TRUE[[7, 9], 2] += 0.01
NAMES = ("first", "second")


def predictions(noise_scale=1.0, rows=slice(None), **fields):
    clips = np.arange(60)[rows]
    return Predictions(
        **{
            "clip_ids": [f"c{index}" for index in clips],
            "groups": [f"g{index // 2}" for index in clips],
            "y_pred": TRUE[rows] + noise_scale * NOISE[rows],
            "y_true": TRUE[rows],
        }
        | fields
    )


def comparison_with(**means):
    """A comparison with these differences of the means; all other intervals contain 0."""
    no_difference = Interval(0.0, -1.0, 1.0)
    return Comparison(
        names=NAMES,
        labels=NAMES,
        split="test",
        num_clips=60,
        num_groups=2,
        metrics={},
        differences={metric: {"mean": means.get(metric, no_difference)} for metric in METRICS},
        confidence=0.95,
        num_resamples=100,
    )


def test_the_better_model_is_named_in_every_metric():
    forward = compare_predictions(predictions(1.0), predictions(0.5), names=("bad", "good"))
    for metric, verdict in forward.verdicts.items():
        assert verdict.startswith(f"good is better than bad in {metric} by ")
    assert forward.overall.startswith(
        "good is better than bad in accuracy, mae, mse, r2, pcc, ccc on 60 clips"
    )
    backward = compare_predictions(predictions(0.5), predictions(1.0), names=("good", "bad"))
    assert (forward.verdicts, forward.overall) == (backward.verdicts, backward.overall)


def test_verdicts_use_the_labels_of_the_models():
    result = compare_predictions(
        predictions(1.0), predictions(0.5), names=("runs/a-long-name", "x"), labels=("A", "B")
    )
    assert result.verdicts["mae"].startswith("B is better than A in mae by ")
    assert result.overall.startswith("B is better than A in")
    assert result.winner("mae") == "B"
    assert set(result.metrics) == {"runs/a-long-name", "x"}


def test_rows_are_joined_by_clip_id():
    order = np.random.default_rng(1).permutation(60)
    straight = compare_predictions(predictions(1.0), predictions(0.5))
    shuffled = compare_predictions(predictions(1.0), predictions(0.5, rows=order))
    assert shuffled == straight


def test_the_json_has_exact_metrics_differences_and_verdicts():
    a, b = predictions(1.0), predictions(0.5)
    result = compare_predictions(a, b, names=NAMES, num_resamples=9)
    found = json.loads(json.dumps(result.to_json(), allow_nan=False))
    first, second = (
        trait_metrics(TRUE, a.y_pred, trait_names=TRAITS),
        trait_metrics(TRUE, b.y_pred, trait_names=TRAITS),
    )
    assert found["names"] == ["first", "second"]
    assert found["metrics"] == {"first": first, "second": second}
    expected = second["r2"]["openness"] - first["r2"]["openness"]
    assert found["differences"]["r2"]["openness"]["value"] == expected
    assert found["differences"]["mae"]["mean"] == vars(result.differences["mae"]["mean"])
    assert (found["verdicts"], found["overall"]) == (result.verdicts, result.overall)
    assert (found["confidence"], found["num_resamples"]) == (0.95, 9)


@pytest.mark.parametrize(
    ("metric", "difference", "expected"),
    [
        ("mae", (-0.0021, -0.0034, -0.0008), "second is better than first in mae by 0.0021 "),
        ("mae", (0.0021, 0.0008, 0.0034), "first is better than second in mae by 0.0021 "),
        ("r2", (0.0021, 0.0008, 0.0034), "second is better than first in r2 by 0.0021 "),
        ("r2", (-0.0021, -0.0034, -0.0008), "first is better than second in r2 by 0.0021 "),
        ("mse", (-2.1e-6, -3e-6, -1e-6), "0.0000021 (95 % interval 0.0000010 to 0.0000030)"),
        ("mae", (0.0003, -0.001, 0.0016), "No difference in mae is shown: second minus first"),
        ("mae", (0.0003, -0.001, 0.0016), "0.0003 (95 % interval −0.0010 to 0.0016)"),
    ],
)
def test_a_verdict_has_direction_and_interval(metric, difference, expected):
    assert expected in comparison_with(**{metric: Interval(*difference)}).verdicts[metric]


def test_a_single_group_shows_no_difference():
    one = {"groups": ["g"] * 60}
    result = compare_predictions(predictions(1.0, **one), predictions(0.5, **one))
    assert "all clips are from one group" in result.verdicts["mae"]
    assert "all 60 clips are from one group" in result.overall


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ({}, "No difference between first and second is shown"),
        (
            {"mae": Interval(-2.0, -3.0, -1.0), "pcc": Interval(2.0, 1.0, 3.0)},
            "second is better than first in mae, pcc on 60 test clips of 2 groups; no difference",
        ),
        (
            {"mae": Interval(2.0, 1.0, 3.0), "pcc": Interval(2.0, 1.0, 3.0)},
            "The metrics disagree on 60 test clips of 2 groups: first is better in mae; second",
        ),
    ],
)
def test_the_overall_verdict_covers_all_metrics(means, expected):
    assert comparison_with(**means).overall.startswith(expected)


def test_annotations_may_differ_in_precision():
    compare_predictions(predictions(), predictions(y_true=TRUE.astype(np.float32)), num_resamples=2)


TWICE = predictions(clip_ids=["c0", "c0", *(f"c{i}" for i in range(2, 60))])


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (
            predictions(),
            predictions(rows=slice(56), clip_ids=[*(f"c{i}" for i in range(55)), "C55"]),
            r"^first and second must .*in first: 5 \('c55', .*in second: 1 \('C55'\)\. The nearest",
        ),
        (
            predictions(),
            predictions(y_true=OTHER_TRUE),
            r"^first and second must .* annotated scores of each clip: 2 of 60 .* is c7\.",
        ),
        (
            predictions(),
            predictions(groups=[f"g{index // 3}" for index in range(60)]),
            r"agree on the group of each clip: .* the first is c2\.",
        ),
        (predictions(y_true=None), predictions(), "first has no annotated scores"),
        (predictions(), predictions(y_true=None), "second has no annotated scores"),
        (
            predictions(),
            predictions(trait_names=TRAITS[::-1]),
            "^first and second must have the same traits in the same order",
        ),
        (TWICE, TWICE, "first contains a clip twice"),
    ],
)
def test_predictions_that_cannot_be_compared_are_an_error(a, b, message):
    with pytest.raises(RunError, match=message):
        compare_predictions(a, b, names=NAMES)


def test_equal_names_are_an_error():
    with pytest.raises(RunError, match="both models are called 'x'"):
        compare_predictions(predictions(), predictions(), names=("x", "x"))


def test_a_comparison_has_the_same_intervals_each_time():
    first, second = (compare_predictions(predictions(), predictions(y_true=TRUE)) for _ in "ab")
    assert first.to_json() == second.to_json()
    assert first.num_resamples == 2000
