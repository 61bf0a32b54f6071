import json

import numpy as np
import pytest

from pipeline.core.errors import RunError
from pipeline.evaluation.comparison import Comparison, compare_predictions
from pipeline.metrics.regression import METRICS, trait_metrics
from pipeline.records.evaluation import Interval
from pipeline.records.predictions import Predictions

NUMBERS = np.random.default_rng(0)
TRUE = NUMBERS.random((60, 5))
NOISE = NUMBERS.normal(0, 0.1, TRUE.shape)
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


def comparison_of(means):
    """A comparison whose mean differences are given by metric."""
    nothing = Interval(0.0, -1.0, 1.0)
    return Comparison(
        names=NAMES,
        num_clips=60,
        num_groups=30,
        metrics={},
        differences={metric: {"mean": means.get(metric, nothing)} for metric in METRICS},
        confidence=0.95,
        num_resamples=100,
    )


def test_the_better_model_is_named_in_every_metric():
    result = compare_predictions(predictions(1.0), predictions(0.5), names=NAMES)
    assert all(
        verdict.startswith(f"second is better than first in {metric} by ")
        for metric, verdict in result.verdicts.items()
    )
    assert result.overall == (
        "second is better than first in accuracy, mae, mse, r2, pcc, ccc on 60 clips of 30 groups."
    )


def test_the_verdicts_do_not_depend_on_which_model_comes_first():
    forward = compare_predictions(predictions(1.0), predictions(0.5), names=("bad", "good"))
    backward = compare_predictions(predictions(0.5), predictions(1.0), names=("good", "bad"))
    assert forward.verdicts == backward.verdicts
    assert forward.overall == backward.overall


def test_rows_are_joined_by_clip_id():
    order = np.random.default_rng(1).permutation(60)
    straight = compare_predictions(predictions(1.0), predictions(0.5))
    shuffled = compare_predictions(predictions(1.0), predictions(0.5, rows=order))
    assert shuffled == straight


def test_metrics_and_differences_are_exact():
    a, b = predictions(1.0), predictions(0.5)
    result = compare_predictions(a, b, names=NAMES, num_resamples=10)
    assert result.metrics == {
        "first": trait_metrics(TRUE, a.y_pred),
        "second": trait_metrics(TRUE, b.y_pred),
    }
    expected = trait_metrics(TRUE, b.y_pred)["r2"]["openness"]
    expected -= trait_metrics(TRUE, a.y_pred)["r2"]["openness"]
    assert result.differences["r2"]["openness"].value == expected


@pytest.mark.parametrize(
    ("metric", "difference", "expected"),
    [
        ("mae", (-0.0021, -0.0034, -0.0008), "second is better than first in mae by 0.0021 (95 % "),
        ("mae", (0.0021, 0.0008, 0.0034), "first is better than second in mae by 0.0021 (95 % "),
        ("r2", (0.0021, 0.0008, 0.0034), "second is better than first in r2 by 0.0021 (95 % "),
        ("r2", (-0.0021, -0.0034, -0.0008), "first is better than second in r2 by 0.0021 (95 % "),
    ],
)
def test_a_verdict_knows_which_direction_is_better(metric, difference, expected):
    verdict = comparison_of({metric: Interval(*difference)}).verdicts[metric]
    assert verdict == expected + "interval 0.0008 to 0.0034)."


def test_an_interval_that_holds_zero_shows_no_difference():
    assert comparison_of({"mae": Interval(0.0003, -0.001, 0.0016)}).verdicts["mae"] == (
        "No difference in mae is shown: second minus first is 0.0003 "
        "(95 % interval −0.0010 to 0.0016)."
    )


def test_a_tiny_difference_is_not_printed_as_zero():
    verdict = comparison_of({"mse": Interval(-2.1e-6, -3e-6, -1e-6)}).verdicts["mse"]
    assert "by 0.0000021 (95 % interval 0.0000010 to 0.0000030)" in verdict


def test_one_group_shows_nothing():
    one = {"groups": ["g"] * 60}
    result = compare_predictions(predictions(1.0, **one), predictions(0.5, **one))
    assert result.verdicts["mae"] == "A difference in mae is not shown: one group only."
    assert result.overall == "No difference can be shown: all 60 clips are of one group."


def test_equal_predictions_show_no_difference():
    result = compare_predictions(predictions(), predictions())
    assert result.overall == "No difference between A and B is shown on 60 clips of 30 groups."


def test_the_overall_verdict_names_what_is_not_shown():
    result = comparison_of({"mae": Interval(-2.0, -3.0, -1.0), "pcc": Interval(2.0, 1.0, 3.0)})
    assert result.overall == (
        "second is better than first in mae, pcc on 60 clips of 30 groups; "
        "no difference is shown in accuracy, mse, r2, ccc."
    )


def test_the_overall_verdict_tells_that_metrics_disagree():
    result = comparison_of({"mae": Interval(2.0, 1.0, 3.0), "pcc": Interval(2.0, 1.0, 3.0)})
    assert result.overall == (
        "The metrics disagree on 60 clips of 30 groups: first is better in mae; "
        "second is better in pcc."
    )


def test_the_json_holds_differences_and_verdicts():
    result = compare_predictions(predictions(1.0), predictions(0.5), names=NAMES, num_resamples=9)
    found = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert found["differences"]["mae"]["mean"] == vars(result.differences["mae"]["mean"])
    assert found["verdicts"] == result.verdicts
    assert found["overall"] == result.overall
    assert found["names"] == ["first", "second"]
    assert set(found["metrics"]["second"]) == set(METRICS)


def test_different_clips_are_refused_with_examples():
    fewer = predictions(rows=slice(56), clip_ids=[*(f"c{i}" for i in range(55)), "C55"])
    expected = (
        r"only in A: 5 \('c55', 'c56', 'c57'\); only in B: 1 \('C55'\)\. "
        r"The nearest to 'c55' is 'C55'"
    )
    with pytest.raises(RunError, match=expected):
        compare_predictions(predictions(), fewer)


def test_different_annotations_are_refused_with_the_first_clip():
    other = TRUE.copy()
    other[[7, 9], 2] += 0.01
    with pytest.raises(RunError, match=r"annotated scores of each clip: 2 of 60 differ.* is c7\."):
        compare_predictions(predictions(), predictions(y_true=other))


def test_annotations_in_another_precision_are_the_same():
    compare_predictions(predictions(), predictions(y_true=TRUE.astype(np.float32)), num_resamples=2)


def test_different_groups_are_refused():
    groups = [f"g{index // 3}" for index in range(60)]
    with pytest.raises(RunError, match=r"agree on the group of each clip: .* the first is c2\."):
        compare_predictions(predictions(), predictions(groups=groups))


@pytest.mark.parametrize("unknown", [0, 1])
def test_missing_annotations_are_refused_by_name(unknown):
    pair = [predictions(), predictions()]
    pair[unknown] = predictions(y_true=None)
    with pytest.raises(RunError, match=f"{NAMES[unknown]} has no annotated scores"):
        compare_predictions(*pair, names=NAMES)


def test_a_clip_that_stands_twice_is_refused():
    twice = predictions(clip_ids=["c0", "c0", *(f"c{i}" for i in range(2, 60))])
    with pytest.raises(RunError, match="A holds a clip twice"):
        compare_predictions(twice, twice)


def test_equal_names_are_refused():
    with pytest.raises(RunError, match="both models are called 'x'"):
        compare_predictions(predictions(), predictions(), names=("x", "x"))
