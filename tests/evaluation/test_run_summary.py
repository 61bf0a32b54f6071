import math

import numpy as np
import pytest
import scipy.stats

from pipeline.core.errors import RunError
from pipeline.core.seeds import generator
from pipeline.core.traits import TRAITS
from pipeline.evaluation.intervals.bootstrap import cluster_bootstrap
from pipeline.evaluation.run_summary import summarize_predictions
from pipeline.metrics.regression import METRICS, trait_metrics
from pipeline.records.predictions import Predictions

TRUE = np.random.default_rng(0).random((24, 5))
GROUPS = np.array([f"g{row // 4}" for row in range(24)])
CLIPS = np.array([f"c{row}" for row in range(24)])


def predictions(error, rows=slice(None), **fields):
    values = {
        "clip_ids": CLIPS[rows],
        "groups": GROUPS[rows],
        "y_pred": (TRUE + error)[rows],
        "y_true": TRUE[rows],
    }
    return Predictions(**values | fields)


def noise(seed, scale=0.1):
    return np.random.default_rng(seed).normal(0, scale, TRUE.shape)


def summarize(runs, against=None, **options):
    return summarize_predictions(runs, against, split="test", **{"num_resamples": 50, **options})


def test_mean_and_standard_deviation_are_over_the_runs():
    found = summarize({"a": predictions(0.1), "b": predictions(0.2), "c": predictions(0.6)}).runs
    assert found.names == ("a", "b", "c")
    for name in ("openness", "mean"):
        assert found.means["mae"][name].value == pytest.approx(0.3)
        # Deviations from 0.3: -0.2, -0.1, 0.3; the sum of their squares is 0.14.
        assert found.deviations["mae"][name] == pytest.approx(math.sqrt(0.14 / 2))


def test_one_run_has_the_interval_of_its_evaluation_and_no_deviation():
    run = predictions(noise(1))
    found = summarize({"a": run}).runs
    assert found.means == cluster_bootstrap(
        TRUE, run.y_pred, GROUPS, trait_names=TRAITS, num_resamples=50, seed=0
    )
    assert math.isnan(found.deviations["mae"]["mean"])


def resampled_rows(num_resamples):
    """Rows of each resample of the six groups."""
    drawn = generator(0, "bootstrap").integers(6, size=(num_resamples, 6))
    return [
        np.concatenate([np.flatnonzero(f"g{group}" == GROUPS) for group in draw]) for draw in drawn
    ]


def check_interval(interval, values):
    expected = np.nanquantile(values, [0.025, 0.975])
    np.testing.assert_allclose([interval.low, interval.high], expected, rtol=1e-9)


def test_all_runs_of_a_common_split_use_the_same_resamples():
    runs = [noise(seed) for seed in range(3)]
    order = np.random.default_rng(0).permutation(24)
    found = summarize(
        {"a": predictions(runs[0]), "b": predictions(runs[1], order), "c": predictions(runs[2])}
    )
    assert found.is_common_split
    assert (found.num_clips, found.num_groups) == (24, 6)
    for metric in METRICS:
        values = [
            np.mean(
                [
                    trait_metrics(TRUE[rows], (TRUE + error)[rows], trait_names=TRAITS)[metric][
                        "mean"
                    ]
                    for error in runs
                ]
            )
            for rows in resampled_rows(50)
        ]
        check_interval(found.runs.means[metric]["mean"], values)


def test_runs_of_different_splits_are_scored_on_their_own_resampled_clips():
    parts, errors = (slice(0, 16), slice(8, 24)), (noise(1), noise(2))
    found = summarize(
        {f"run {row}": predictions(errors[row], part) for row, part in enumerate(parts)}
    )
    assert not found.is_common_split
    assert (found.num_clips, found.num_groups) == (24, 6)
    maes = [np.abs(error[part]).mean() for error, part in zip(errors, parts, strict=True)]
    mae = found.runs.means["mae"]["mean"]
    assert mae.value == pytest.approx(np.mean(maes))
    values = []
    for rows in resampled_rows(50):
        own = [rows[np.isin(rows, np.arange(24)[part])] for part in parts]
        values.append(
            np.mean(
                [
                    np.abs(error[row]).mean()
                    for error, row in zip(errors, own, strict=True)
                    if len(row)
                ]
            )
        )
    check_interval(mae, values)


def test_a_difference_is_the_first_set_minus_the_other_set_and_paired():
    errors = [noise(seed) for seed in range(4)]
    worse = {f"b{row}": predictions(1.5 * error) for row, error in enumerate(errors)}
    better = {f"a{row}": predictions(error) for row, error in enumerate(errors)}
    found = summarize(better, worse)
    difference = found.differences["mae"]["mean"]
    assert difference.value == pytest.approx(-0.5 * np.abs(errors).mean())
    assert difference.high < 0
    assert found.verdict.startswith("A is better in accuracy, mae, mse, r2")
    assert "24 test clips of 6 groups" in found.verdict
    assert summarize(worse, better).verdict.startswith("A is worse in accuracy, mae")


def test_a_difference_within_the_spread_over_the_runs_is_not_shown():
    runs = {"a1": predictions(0.1), "a2": predictions(0.2)}
    against = {"b1": predictions(0.1001), "b2": predictions(0.2001)}
    found = summarize(runs, against, num_resamples=400)
    assert found.covers_runs
    difference = found.differences["mae"]["mean"]
    assert difference.value == pytest.approx(-0.0001)
    assert difference.low < 0 < difference.high
    assert found.verdict == "No difference between A and B is shown on 24 test clips of 6 groups."
    # A single run per set has no spread.
    alone = summarize({"a1": runs["a1"]}, {"b1": against["b1"]})
    assert not alone.covers_runs
    assert alone.differences["mae"]["mean"].high < 0


def test_the_variation_over_runs_is_that_of_a_t_test():
    levels, other_levels = np.array([0.1, 0.15, 0.3]), np.array([0.2, 0.21])
    runs, against = (
        {f"{name}{row}": predictions(level) for row, level in enumerate(values)}
        for name, values in (("a", levels), ("b", other_levels))
    )
    # The errors do not depend on the clips, so the MAE varies only over the runs.
    difference = summarize(runs, against, num_resamples=20_000).differences["mae"]["mean"]
    test = scipy.stats.ttest_ind(levels, other_levels, equal_var=False)
    low, high = test.confidence_interval(0.95)
    assert difference.low == pytest.approx(low, rel=0.05)
    assert difference.high == pytest.approx(high, rel=0.05)


def test_intervals_of_differences_have_the_nominal_coverage():
    """Two equal methods with three seeds each; seeds and clips contribute about equally."""
    groups = [f"g{row // 2}" for row in range(80)]
    truth = np.full((80, 5), 0.2)

    def run(errors):
        return Predictions(
            clip_ids=list(map(str, range(80))), groups=groups, y_pred=truth + errors, y_true=truth
        )

    hits = []
    for number in range(120):
        numbers = np.random.default_rng(number)
        runs, against = (
            {f"{name}{seed}": run(errors + numbers.normal(0, 0.02, 5)) for seed in range(3)}
            for name, errors in zip(
                "ab", numbers.normal(0.5, 0.1, (2, 40, 5)).repeat(2, axis=1), strict=True
            )
        )
        differences = summarize(runs, against, num_resamples=200).differences["mae"]
        hits += [differences[trait].low <= 0 <= differences[trait].high for trait in TRAITS]
    assert 0.93 < np.mean(hits) < 0.985


def test_differences_of_different_splits_contain_only_the_variation_over_clips():
    parts = (slice(0, 16), slice(8, 24))
    runs, against = (
        {f"{name}{row}": predictions(level + row / 9, part) for row, part in enumerate(parts)}
        for name, level in (("a", 0.1), ("b", 0.2))
    )
    found = summarize(runs, against)
    assert not found.covers_runs
    assert found.differences["mae"]["mean"].value == pytest.approx(-0.1)
    assert "in different splits" in found.verdict


def test_the_seeds_of_the_runs_are_kept():
    runs = {"a": predictions(0.1), "b": predictions(0.2)}
    assert summarize(runs, seeds={"a": 3, "b": 1}).runs.seeds == (3, 1)
    assert summarize(runs).runs.seeds == ()


OTHER_TRUE = TRUE.copy()
OTHER_TRUE[3] += 0.01


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (predictions(0.2, y_true=None), "b has no annotated scores"),
        (predictions(0.2, y_true=OTHER_TRUE), "b: the annotated scores of clip 'c3' must"),
        (predictions(0.2, groups=["x", *GROUPS[1:]]), "b: the group of clip 'c0' must be the same"),
        (predictions(0.2, trait_names=TRAITS[::-1]), "a and b must have the same traits"),
        (predictions(0.1), "a and b have equal predictions, so they are not two seeds"),
    ],
)
def test_runs_that_cannot_be_summarized_are_an_error(other, message):
    with pytest.raises(RunError, match=message):
        summarize({"a": predictions(0.1), "b": other})


def test_sets_of_runs_with_different_clips_are_an_error():
    with pytest.raises(RunError, match=r"same clips.* --data\.split_seed"):
        summarize({"a": predictions(0.1)}, {"b": predictions(0.2, slice(20))})
