"""Generated sets have the requested shapes and a linear signal."""

import numpy as np
import pytest

from benchmarks.data import PAIR, write_set, write_subset
from pipeline.data.feature_set import load_feature_set


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A set of 1,000 clips with two vectors."""
    directory = tmp_path_factory.mktemp("data") / "pair"
    return load_feature_set(write_set(directory, PAIR, num_clips=1000))


def test_a_set_has_the_requested_shapes_and_groups(tmp_path, pair):
    assert pair.num_clips == 1000
    assert {name: stream.shape for name, stream in pair.streams.items()} == {
        "static": (1000, 6),
        "dynamic": (1000, 6),
    }
    assert len(set(pair.groups)) == 435  # 2.3 clips per group
    shapes = {"static": (4, 8), "dynamic": (3, 2)}
    sequences = load_feature_set(write_set(tmp_path / "set", shapes, num_clips=10))
    assert {name: stream.shape[1:] for name, stream in sequences.streams.items()} == shapes


def test_a_linear_model_explains_a_part_of_the_labels(pair):
    rows = np.arange(1000)
    inputs = np.hstack([np.ones((1000, 1)), *(each.read(rows) for each in pair.streams.values())])
    labels = pair.checked_labels()
    train, held_out = rows[:700], rows[700:]
    weights = np.linalg.lstsq(inputs[train], labels[train], rcond=None)[0]
    errors = labels[held_out] - inputs[held_out] @ weights
    r2 = 1 - errors.var(axis=0).mean() / labels[held_out].var(axis=0).mean()
    assert 0.2 < r2 < 0.6


def test_a_subset_has_whole_groups_and_at_most_the_requested_clips(tmp_path, pair):
    source = pair.sources[0].parent
    subset = load_feature_set(write_subset(tmp_path / "subset", source, num_clips=100))
    assert 90 < subset.num_clips <= 100
    for group in set(subset.groups):
        assert (subset.groups == group).sum() == (pair.groups == group).sum()
    rows = np.flatnonzero(np.isin(pair.clip_ids, subset.clip_ids))
    values = subset.streams["static"].read(np.arange(subset.num_clips))
    np.testing.assert_array_equal(values, pair.streams["static"].read(rows))
