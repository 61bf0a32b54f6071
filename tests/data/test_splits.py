import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import PipelineError, SplitError
from pipeline.core.seeds import generator
from pipeline.data.feature_set import load_feature_set
from pipeline.data.splits import (
    NoGroupsWarning,
    Split,
    group_overlap,
    hold_out,
    names_in_subset,
    read_split,
    split_feature_set,
    split_folds,
    write_split,
)

NONE = np.array([], dtype=int)
seeds_ = st.integers(0, 1000)
groups_ = st.lists(st.sampled_from("abcdefgh"), min_size=3, max_size=40).filter(
    lambda groups: len(set(groups)) >= 3
)


def split_of(groups, seed=0, validation=0.2, test=0.0) -> Split:
    groups = np.array(list(groups))
    subsets = hold_out(
        groups,
        {"train": np.arange(len(groups)), "validation": NONE, "test": NONE},
        fractions={"test": test, "validation": validation},
        generator=generator(seed, "split"),
    )
    return Split(**subsets)


def rows_of(split: Split) -> dict[str, list[int]]:
    return {name: rows.tolist() for name, rows in split.subsets()}


def groups_of(groups, split: Split) -> dict[str, set[str]]:
    return {name: {groups[row] for row in rows} for name, rows in split.subsets()}


@given(groups=groups_, seed=seeds_, validation=st.floats(0.01, 0.6), test=st.floats(0.0, 0.39))
def test_no_group_is_in_two_subsets(groups, seed, validation, test):
    overlap = group_overlap(np.array(groups), split_of(groups, seed, validation, test))
    assert all(shared == {"shared_groups": 0, "shared_clips": 0} for shared in overlap.values())


@given(groups=groups_, seed=seeds_, validation=st.floats(0.01, 0.6), test=st.floats(0.01, 0.39))
def test_every_row_is_in_one_subset_and_no_subset_is_empty(groups, seed, validation, test):
    rows = rows_of(split_of(groups, seed, validation, test))
    assert sorted(itertools.chain.from_iterable(rows.values())) == list(range(len(groups)))
    assert all(rows.values())
    assert all(subset == sorted(subset) for subset in rows.values())


@given(groups=groups_, seed=seeds_, order=st.randoms(use_true_random=False))
def test_the_held_out_groups_do_not_depend_on_the_order_of_the_rows(groups, seed, order):
    shuffled = order.sample(groups, len(groups))
    first, second = split_of(groups, seed), split_of(shuffled, seed)
    assert groups_of(groups, first) == groups_of(shuffled, second)


def test_only_the_seed_changes_the_split():
    first, again, other = (rows_of(split_of(range(50), seed)) for seed in (0, 0, 1))
    assert first == again != other


@given(seed=seeds_, validation=st.integers(1, 40), test=st.integers(0, 40))
def test_fractions_are_exact_if_each_group_is_one_row(seed, validation, test):
    split = split_of(range(100), seed, validation / 100, test / 100)
    assert (len(split.validation), len(split.test)) == (validation, test)


@given(seed=seeds_)
def test_a_group_that_is_too_large_is_not_held_out(seed):
    split = split_of(["large"] * 80 + list("abcdefghijklmnopqrst"), seed)
    assert len(split.validation) == 20


@given(seed=seeds_)
def test_the_smallest_group_is_held_out_for_a_tiny_fraction(seed):
    groups = ["a"] * 4 + ["b"] * 3 + ["c"] * 5
    assert groups_of(groups, split_of(groups, seed, validation=0.01))["validation"] == {"b"}


@given(seed=seeds_)
def test_one_group_remains_for_training(seed):
    assert len(split_of(["a", "b"], seed, validation=0.99).train) == 1


@pytest.mark.parametrize(
    ("groups", "fractions", "message"),
    [
        ("a", {}, "at least 2 groups are needed to hold out clips for validation"),
        ("aaaaaaaaa", {}, r"form 1 group\(s\), but at least 2"),
        ("abb", {"test": 0.1}, r"form 2 group\(s\), but at least 3 .* for test and validation"),
        ("a", {"test": 0.1}, r"form 1 group\(s\), but at least 3 .* for test and validation"),
        ("abc", {"validation": -0.1}, r"validation_fraction is -0\.1, but must be in \[0, 1\)"),
        ("abc", {"validation": 1.0}, r"validation_fraction is 1\.0"),
        ("abc", {"validation": float("nan")}, "validation_fraction is nan"),
        ("abc", {"test": 1.0}, r"test_fraction is 1\.0"),
        ("abc", {"validation": 0.5, "test": 0.5}, r"add up to 1\.0"),
    ],
)
def test_an_impossible_split_is_an_error(groups, fractions, message):
    with pytest.raises(SplitError, match=message):
        split_of(groups, **fractions)


def test_the_rows_of_a_split_are_sorted():
    split = Split(train=np.array([3, 1]), validation=np.array([2, 0]), test=NONE)
    assert rows_of(split) == {"train": [1, 3], "validation": [0, 2], "test": []}


@pytest.fixture
def load_with_split(write_files):
    """Return a function that loads one clip per letter, with these groups and subsets."""

    def load(groups: str, subsets: list[str]):
        ids = [f"c{row}" for row in range(len(groups))]
        table = pd.DataFrame({"clip_id": ids, "group": list(groups), "split": subsets})
        return load_feature_set(write_files(num_clips=len(groups), clips__csv=table))

    return load


def test_a_complete_split_column_is_used_unchanged(load_with_split):
    feature_set = load_with_split("abab", ["test", "train", "validation", "train"])
    split = split_feature_set(feature_set, validation_fraction=0.5, test_fraction=0.4, seed=0)
    assert rows_of(split) == {"train": [1, 3], "validation": [2], "test": [0]}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("given", "missing"), [("test", "validation"), ("validation", "test")])
def test_a_subset_missing_in_the_column_is_held_out_of_training(
    load_with_split, seed, given, missing
):
    feature_set = load_with_split("aabbcc", ["train"] * 4 + [given] * 2)
    fractions = {f"{given}_fraction": 0.1, f"{missing}_fraction": 0.5}
    rows = rows_of(split_feature_set(feature_set, **fractions, seed=seed))
    assert rows[given] == [4, 5]
    assert sorted([rows["train"], rows[missing]]) == [[0, 1], [2, 3]]


def test_validation_clips_are_optional(load_with_split):
    feature_set = load_with_split("aabbcc", ["train"] * 4 + ["test"] * 2)
    split = split_feature_set(feature_set, validation_fraction=0, seed=0, needs_validation=False)
    assert rows_of(split) == {"train": [0, 1, 2, 3], "validation": [], "test": [4, 5]}
    with pytest.raises(SplitError, match="no validation clips"):
        split_feature_set(feature_set, validation_fraction=0, seed=0)


def test_a_column_without_training_clips_is_an_error(load_with_split):
    with pytest.raises(SplitError, match="none of 4 clips to train"):
        split_feature_set(load_with_split("abcd", ["test"] * 4), validation_fraction=0.5, seed=0)


def test_without_a_column_whole_groups_are_held_out(write_files):
    feature_set = load_feature_set(write_files(num_clips=20))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split = split_feature_set(feature_set, validation_fraction=0.2, test_fraction=0.2, seed=1)
    assert [len(rows) for rows in rows_of(split).values()] == [12, 4, 4]
    assert group_overlap(feature_set.groups, split)["train/validation"]["shared_groups"] == 0


def test_a_split_without_a_clip_table_warns(write_files):
    feature_set = load_feature_set(write_files(num_clips=10, clips__csv=None))
    with pytest.warns(NoGroupsWarning, match=r"0\.905.*0\.883") as caught:
        split = split_feature_set(feature_set, validation_fraction=0.3, seed=0)
    assert caught[0].filename == __file__
    assert (len(split.train), len(split.validation)) == (7, 3)


@given(groups=groups_, seed=seeds_, num_folds=st.integers(2, 3))
def test_each_row_is_in_the_validation_subset_of_one_fold(groups, seed, num_folds):
    folds = split_folds(np.array(groups), num_folds=num_folds, seed=seed)
    assert len(folds) == num_folds
    assert sorted(np.concatenate([fold.validation for fold in folds])) == list(range(len(groups)))
    for fold in folds:
        assert sorted([*fold.train, *fold.validation]) == list(range(len(groups)))
        assert group_overlap(np.array(groups), fold)["train/validation"]["shared_groups"] == 0


@given(seed=seeds_)
def test_folds_have_similar_numbers_of_rows(seed):
    groups = np.repeat(np.arange(6), [6, 5, 4, 4, 3, 2])
    folds = split_folds(groups, num_folds=3, seed=seed)
    assert [len(fold.validation) for fold in folds] == [8, 8, 8]


def test_only_the_seed_changes_the_folds():
    first, again, other = (split_folds(np.arange(20), num_folds=4, seed=seed) for seed in (0, 0, 1))
    assert [rows_of(fold) for fold in first] == [rows_of(fold) for fold in again]
    assert [rows_of(fold) for fold in first] != [rows_of(fold) for fold in other]


def test_folds_contain_only_the_given_rows():
    rows = np.array([5, 1, 3])
    folds = split_folds(np.arange(6), num_folds=3, seed=0, rows=rows)
    assert sorted(fold.validation.tolist() for fold in folds) == [[1], [3], [5]]
    assert all(set(fold.train.tolist()) < {1, 3, 5} for fold in folds)


@pytest.mark.parametrize("num_folds", [1, 4])
def test_an_impossible_number_of_folds_is_an_error(num_folds):
    message = f"num_folds is {num_folds}, but must be at least 2 and at most 3"
    with pytest.raises(SplitError, match=message):
        split_folds(np.array(["a", "b", "c", "c"]), num_folds=num_folds, seed=0)


def test_the_overlap_counts_shared_groups_and_clips():
    groups = np.array(["a", "b", "c", "a", "b", "b", "d", "a"])
    split = Split(train=np.array([0, 1, 2]), validation=np.array([3, 4, 5, 6]), test=np.array([7]))
    assert group_overlap(groups, split) == {
        "train/validation": {"shared_groups": 2, "shared_clips": 0.75},
        "train/test": {"shared_groups": 1, "shared_clips": 1.0},
        "validation/test": {"shared_groups": 1, "shared_clips": 1.0},
    }
    without_test = Split(train=np.array([0]), validation=np.array([3]), test=NONE)
    assert list(group_overlap(groups, without_test)) == ["train/validation"]


@pytest.mark.parametrize(
    "split",
    [
        Split(train=np.array([0, 3]), validation=np.array([1]), test=np.array([2])),
        Split(train=np.arange(4), validation=NONE, test=NONE),
    ],
)
def test_a_written_split_reads_back(write_files, tmp_path, split):
    feature_set = load_feature_set(write_files())
    write_split(tmp_path / "split.csv", feature_set, split)
    assert (tmp_path / "split.csv").read_text().startswith("clip_id,group,split\n")
    table = read_split(tmp_path / "split.csv")
    assert table["clip_id"].tolist() == feature_set.clip_ids.tolist()
    assert table["group"].tolist() == feature_set.groups.tolist()
    for name, rows in split.subsets():
        assert np.flatnonzero(table["split"] == name).tolist() == rows.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no such file"), ("clip_id,group\na,b\n", "has no column split")],
)
def test_a_bad_split_file_is_an_error(tmp_path, content, message):
    if content is not None:
        (tmp_path / "split.csv").write_text(content)
    with pytest.raises(PipelineError, match=message):
        read_split(tmp_path / "split.csv")


def test_a_split_of_an_early_version_with_invisible_differences_is_read(tmp_path):
    rows = ["a,p1,validation", "b ,p1\u00a0,test", "b,p1,train", "c\u200b,p2,test"]
    (tmp_path / "split.csv").write_text("\n".join(["clip_id,group,split", *rows]), encoding="utf-8")
    table = read_split(tmp_path / "split.csv")
    assert table.to_numpy().tolist() == [
        ["a", "p1", "validation"],
        ["b", "p1", "train"],
        ["c", "p2", "test"],
    ]


def test_names_in_a_subset_are_text():
    table = pd.DataFrame(
        {"clip_id": ["a", "b", "c"], "group": ["x", "y", "x"], "split": ["train", "test", "train"]}
    )
    found = names_in_subset(table, "train", "group")
    assert found.tolist() == ["x", "x"]
    assert found.dtype.kind == names_in_subset(table, "validation", "clip_id").dtype.kind == "U"
