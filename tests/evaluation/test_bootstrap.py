import dataclasses
import math

import numpy as np
import pytest

from pipeline.core.seeds import generator
from pipeline.core.traits import TRAITS
from pipeline.evaluation.intervals import bootstrap
from pipeline.evaluation.intervals.bootstrap import (
    cluster_bootstrap,
    group_means,
    paired_differences,
)
from pipeline.metrics.regression import METRICS, trait_metrics
from pipeline.records.evaluation import Interval


def clustered_scores(seed, *, num_groups=40, clips_per_group=4):
    """Scores whose errors are partly shared within each group."""
    numbers = np.random.default_rng(seed)
    groups = np.repeat(np.arange(num_groups), clips_per_group).astype(str)
    true = numbers.random((len(groups), 5))
    shared = numbers.normal(0, 0.1, (num_groups, 5)).repeat(clips_per_group, axis=0)
    return true, true + shared + numbers.normal(0, 0.05, true.shape), groups


def test_values_are_the_exact_metrics_as_python_floats():
    true, pred, groups = clustered_scores(0)
    found = cluster_bootstrap(true, pred, groups, num_resamples=10, seed=0, trait_names=TRAITS)
    values = {
        metric: {name: interval.value for name, interval in by_trait.items()}
        for metric, by_trait in found.items()
    }
    assert values == trait_metrics(true, pred, trait_names=TRAITS)
    numbers = {type(n) for t in found.values() for i in t.values() for n in vars(i).values()}
    assert numbers == {float}


def test_intervals_are_percentiles_over_resampled_groups():
    true, pred, groups = clustered_scores(1, num_groups=6, clips_per_group=3)
    found = cluster_bootstrap(
        true, pred, groups, num_resamples=50, confidence=0.8, seed=3, trait_names=TRAITS
    )
    names = np.unique(groups)
    drawn = generator(3, "bootstrap").integers(6, size=(50, 6))
    rows = [
        np.concatenate([np.flatnonzero(groups == name) for name in names[draw]]) for draw in drawn
    ]
    resampled = [trait_metrics(true[row], pred[row], trait_names=TRAITS) for row in rows]
    for metric in METRICS:
        for name in (*TRAITS, "mean"):
            values = [metrics[metric][name] for metrics in resampled]
            interval = found[metric][name]
            expected = np.quantile(values, [0.1, 0.9])
            np.testing.assert_allclose([interval.low, interval.high], expected, rtol=1e-9)


def test_intervals_have_the_nominal_coverage():
    true_mae = math.sqrt(2 / math.pi) * math.hypot(0.1, 0.05)
    hits = []
    for seed in range(120):
        found = cluster_bootstrap(
            *clustered_scores(seed), num_resamples=400, seed=seed, trait_names=TRAITS
        )["mae"]
        hits += [found[trait].low <= true_mae <= found[trait].high for trait in TRAITS]
    assert 0.91 < np.mean(hits) < 0.98


def test_the_seed_determines_the_interval():
    data = clustered_scores(7)
    first, again, other = (
        cluster_bootstrap(*data, num_resamples=99, seed=s, trait_names=TRAITS) for s in (1, 1, 2)
    )
    assert first == again
    assert first["mae"]["mean"].low != other["mae"]["mean"].low


def test_intervals_do_not_depend_on_the_chunk_size(monkeypatch):
    data = clustered_scores(8)
    whole = cluster_bootstrap(*data, num_resamples=101, seed=0, trait_names=TRAITS)
    monkeypatch.setattr(bootstrap, "_MAX_COUNTS", 7 * 40)
    chunked = cluster_bootstrap(*data, num_resamples=101, seed=0, trait_names=TRAITS)
    for metric in METRICS:
        for name, interval in chunked[metric].items():
            assert interval.low == pytest.approx(whole[metric][name].low, rel=1e-12)


def test_intervals_do_not_depend_on_the_order_of_clips():
    true, pred, groups = clustered_scores(9)
    order = np.random.default_rng(0).permutation(len(groups))
    first = cluster_bootstrap(true, pred, groups, num_resamples=50, seed=0, trait_names=TRAITS)
    second = cluster_bootstrap(
        true[order], pred[order], groups[order], num_resamples=50, seed=0, trait_names=TRAITS
    )
    assert first["ccc"]["mean"].low == pytest.approx(second["ccc"]["mean"].low, rel=1e-9)


def test_a_single_group_has_a_value_without_interval():
    true, pred, _ = clustered_scores(10, num_groups=2)
    found = cluster_bootstrap(true, pred, ["only"] * len(true), seed=0, trait_names=TRAITS)["mae"][
        "mean"
    ]
    assert found.value == pytest.approx(np.abs(true - pred).mean())
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_difference_is_the_second_minus_the_first():
    true, pred, groups = clustered_scores(12)
    worse = pred + 0.3
    found = paired_differences(
        true, pred, worse, groups, num_resamples=50, seed=0, trait_names=TRAITS
    )
    first, second = (
        trait_metrics(true, pred, trait_names=TRAITS),
        trait_metrics(true, worse, trait_names=TRAITS),
    )
    for metric in METRICS:
        for name, interval in found[metric].items():
            assert interval.value == second[metric][name] - first[metric][name]
    assert found["mae"]["mean"].low > 0
    assert found["r2"]["mean"].high < 0


def test_equal_predictions_have_zero_difference_in_every_resample():
    true, pred, groups = clustered_scores(13)
    found = paired_differences(
        true, pred, pred, groups, num_resamples=50, seed=0, trait_names=TRAITS
    )
    assert {i for t in found.values() for i in t.values()} == {Interval(0.0, 0.0, 0.0)}


@pytest.mark.parametrize(
    "options", [{"num_resamples": 0}, {"confidence": 0.0}, {"confidence": 1.0}, {"confidence": 95}]
)
def test_an_option_out_of_range_is_an_error(options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"{name}={value}"):
        cluster_bootstrap(*clustered_scores(15), **options, seed=0, trait_names=TRAITS)


@pytest.mark.parametrize("groups", [[], ["a"], ["a"] * 3])
def test_a_wrong_number_of_groups_is_an_error(groups):
    with pytest.raises(ValueError, match=f"found 2 clips and {len(groups)} groups"):
        cluster_bootstrap(np.zeros((2, 5)), np.ones((2, 5)), groups, seed=0, trait_names=TRAITS)


def test_every_group_has_the_same_weight_in_a_group_mean():
    values = np.array([[1.0] * 5, [0.0] * 5, [0.0] * 5, [0.0] * 5])
    found = group_means(values, ["a", "b", "b", "b"], num_resamples=10, seed=0, trait_names=TRAITS)
    assert {interval.value for interval in found.values()} == {0.5}


def test_the_interval_of_a_group_mean_comes_from_resampled_groups():
    values = np.random.default_rng(0).random((40, 5))
    groups = [f"g{index // 4}" for index in range(40)]
    found = group_means(values, groups, num_resamples=200, seed=3, trait_names=TRAITS)
    means = values.reshape(10, 4, 5).mean(axis=1)
    drawn = generator(3, "bootstrap").integers(10, size=(200, 10))
    low, high = np.quantile(means[drawn].mean(axis=(1, 2)), [0.025, 0.975])
    assert (found["mean"].low, found["mean"].high) == (pytest.approx(low), pytest.approx(high))
    one_group = group_means(values, ["g"] * 40, num_resamples=10, seed=0, trait_names=TRAITS)
    assert math.isnan(one_group["openness"].low)


@pytest.mark.parametrize("trait_names", [("interview",), ("honesty", "humility", "interview")])
def test_any_traits_have_intervals_by_name(trait_names):
    true, pred, groups = clustered_scores(0)
    num_traits = len(trait_names)
    found = cluster_bootstrap(
        true[:, :num_traits],
        pred[:, :num_traits],
        groups,
        trait_names=trait_names,
        num_resamples=50,
        seed=0,
    )
    every = cluster_bootstrap(true, pred, groups, trait_names=TRAITS, num_resamples=50, seed=0)
    assert tuple(found["mae"]) == (*trait_names, "mean")
    for name, trait in zip(trait_names, TRAITS, strict=False):
        # Sums over another number of columns may be rounded differently.
        expected = dataclasses.asdict(every["mae"][trait])
        assert dataclasses.asdict(found["mae"][name]) == pytest.approx(expected, abs=1e-12)
