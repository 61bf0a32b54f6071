import itertools
import unicodedata
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
    names_in_subset,
    read_split,
    split_by_group,
    split_feature_set,
    split_folds,
    write_split,
)

NONE = np.array([], dtype=int)
seeds_ = st.integers(0, 1000)
groups_ = st.lists(st.sampled_from("abcdefgh"), min_size=3, max_size=40).filter(
    lambda groups: len(set(groups)) >= 3
)


def draw(groups, seed=0, validation=0.2, test=0.0) -> Split:
    return split_by_group(
        np.array(list(groups)),
        validation_fraction=validation,
        test_fraction=test,
        generator=generator(seed, "split"),
    )


def sides(split: Split) -> dict[str, list[int]]:
    return {name: rows.tolist() for name, rows in split.subsets()}


def by_name(groups, split: Split) -> dict[str, set[str]]:
    return {name: {groups[row] for row in rows} for name, rows in split.subsets()}


@given(groups=groups_, seed=seeds_, validation=st.floats(0.01, 0.6), test=st.floats(0.0, 0.39))
def test_no_group_is_on_both_sides(groups, seed, validation, test):
    split = draw(groups, seed, validation, test)
    overlap = group_overlap(np.array(groups), split)
    assert all(shared == {"shared_groups": 0, "shared_clips": 0} for shared in overlap.values())


@given(groups=groups_, seed=seeds_, validation=st.floats(0.01, 0.6), test=st.floats(0.01, 0.39))
def test_every_row_is_on_one_side_and_no_side_is_empty(groups, seed, validation, test):
    rows = sides(draw(groups, seed, validation, test))
    assert sorted(itertools.chain.from_iterable(rows.values())) == list(range(len(groups)))
    assert all(rows.values())
    assert all(side == sorted(side) for side in rows.values())


@given(groups=groups_, seed=seeds_)
def test_the_same_seed_draws_the_same_split(groups, seed):
    assert sides(draw(groups, seed)) == sides(draw(groups, seed))


@given(groups=groups_, seed=seeds_, order=st.randoms(use_true_random=False))
def test_the_groups_held_out_do_not_depend_on_the_order_of_the_rows(groups, seed, order):
    shuffled = order.sample(groups, len(groups))
    assert by_name(groups, draw(groups, seed)) == by_name(shuffled, draw(shuffled, seed))


def test_another_seed_draws_another_split():
    groups = list(range(50))
    assert sides(draw(groups, 0)) != sides(draw(groups, 1))


@given(seed=seeds_, validation=st.integers(1, 40), test=st.integers(0, 40))
def test_fractions_are_met_exactly_where_every_group_is_one_row(seed, validation, test):
    split = draw(range(100), seed, validation / 100, test / 100)
    assert (len(split.validation), len(split.test)) == (validation, test)


@given(seed=seeds_)
def test_a_group_that_overshoots_is_passed_over(seed):
    split = draw(["large"] * 80 + list("abcdefghijklmnopqrst"), seed)
    assert len(split.validation) == 20


@given(seed=seeds_)
def test_at_least_one_group_is_held_out_however_small_the_fraction(seed):
    split = draw(["a"] * 4 + ["b"] * 3 + ["c"] * 5, seed, validation=0.01)
    assert by_name(["a"] * 4 + ["b"] * 3 + ["c"] * 5, split)["validation"] == {"b"}


@given(seed=seeds_)
def test_a_group_is_left_to_train_on_however_large_the_fraction(seed):
    assert len(draw(["a", "b"], seed, validation=0.99).train) == 1


@pytest.mark.parametrize(
    ("groups", "test", "message"),
    [
        (["a"], 0.0, "at least 2 groups are needed to hold 1 out"),
        (["a"] * 9, 0.0, r"form 1 group\(s\), but at least 2"),
        (["a", "b", "b"], 0.1, r"form 2 group\(s\), but at least 3 .*\(test, validation\)"),
    ],
)
def test_too_few_groups_are_refused(groups, test, message):
    with pytest.raises(SplitError, match=message):
        draw(groups, test=test)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(SplitError, match=r"validation_fraction is .*expected a number in \[0, 1\)"):
        draw("abc", validation=fraction)
    with pytest.raises(SplitError, match="test_fraction is"):
        draw("abc", test=fraction)


def test_fractions_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(SplitError, match=r"add up to 1\.0"):
        draw("abc", validation=0.5, test=0.5)


def test_a_split_without_validation_is_refused():
    with pytest.raises(SplitError, match="no clips for validation"):
        draw("abc", validation=0.0)


def test_a_split_keeps_its_rows_in_rising_order():
    split = Split(train=np.array([3, 1]), validation=np.array([2, 0]), test=NONE)
    assert sides(split) == {"train": [1, 3], "validation": [0, 2], "test": []}


@pytest.fixture
def marked(write_files):
    """Return a function that loads one clip a letter, with these groups and sides."""

    def load(groups: str, sides: list[str]):
        table = pd.DataFrame(
            {"clip_id": [f"c{row}" for row in range(len(groups))], "group": list(groups)}
        ).assign(split=sides)
        return load_feature_set(write_files(num_clips=len(groups), clips__csv=table))

    return load


def test_the_split_column_is_taken_as_it_is(marked):
    feature_set = marked("abab", ["test", "train", "validation", "train"])
    split = split_feature_set(feature_set, validation_fraction=0.5, test_fraction=0.4, seed=0)
    assert sides(split) == {"train": [1, 3], "validation": [2], "test": [0]}


@pytest.mark.parametrize("seed", range(5))
def test_validation_groups_are_held_out_of_training_where_none_are_marked(marked, seed):
    feature_set = marked("aabbcc", ["train"] * 4 + ["test"] * 2)
    split = split_feature_set(feature_set, validation_fraction=0.5, seed=seed)
    assert split.test.tolist() == [4, 5]
    assert sorted([split.train.tolist(), split.validation.tolist()]) == [[0, 1], [2, 3]]


def test_a_test_side_is_held_out_of_training_where_none_is_marked(marked):
    feature_set = marked("aabbcc", ["train"] * 4 + ["validation"] * 2)
    split = split_feature_set(feature_set, validation_fraction=0.1, test_fraction=0.5, seed=0)
    assert split.validation.tolist() == [4, 5]
    assert sorted([split.train.tolist(), split.test.tolist()]) == [[0, 1], [2, 3]]


def test_a_cross_validation_needs_no_validation_side(marked):
    feature_set = marked("aabbcc", ["train"] * 4 + ["test"] * 2)
    split = split_feature_set(feature_set, validation_fraction=0, seed=0, needs_validation=False)
    assert sides(split) == {"train": [0, 1, 2, 3], "validation": [], "test": [4, 5]}


def test_a_column_without_training_clips_is_refused(marked):
    with pytest.raises(SplitError, match="marks none of 4 clips as train"):
        split_feature_set(marked("abcd", ["test"] * 4), validation_fraction=0.5, seed=0)


def test_without_a_column_whole_groups_are_held_out(write_files):
    feature_set = load_feature_set(write_files(num_clips=20))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split = split_feature_set(feature_set, validation_fraction=0.2, test_fraction=0.2, seed=1)
    assert [len(rows) for rows in sides(split).values()] == [12, 4, 4]
    assert group_overlap(feature_set.groups, split)["train/validation"]["shared_groups"] == 0


def test_without_a_table_clips_are_split_one_by_one_with_a_warning(write_files):
    feature_set = load_feature_set(write_files(num_clips=10, clips__csv=None))
    with pytest.warns(NoGroupsWarning, match=r"0\.905, against 0\.883") as caught:
        split = split_feature_set(feature_set, validation_fraction=0.3, seed=0)
    assert caught[0].filename == __file__
    assert (len(split.train), len(split.validation)) == (7, 3)


@given(groups=groups_, seed=seeds_, num_folds=st.integers(2, 3))
def test_each_row_is_validated_on_in_one_fold(groups, seed, num_folds):
    folds = split_folds(np.array(groups), num_folds=num_folds, seed=seed)
    assert len(folds) == num_folds
    assert sorted(np.concatenate([fold.validation for fold in folds])) == list(range(len(groups)))
    for fold in folds:
        assert sorted([*fold.train, *fold.validation]) == list(range(len(groups)))
        assert group_overlap(np.array(groups), fold)["train/validation"]["shared_groups"] == 0


@given(seed=seeds_)
def test_folds_are_balanced_in_rows(seed):
    groups = np.repeat(np.arange(6), [6, 5, 4, 4, 3, 2])
    folds = split_folds(groups, num_folds=3, seed=seed)
    assert [len(fold.validation) for fold in folds] == [8, 8, 8]


def test_folds_differ_between_seeds_and_not_within_one():
    first, again, other = (split_folds(np.arange(20), num_folds=4, seed=seed) for seed in (0, 0, 1))
    assert [sides(fold) for fold in first] == [sides(fold) for fold in again]
    assert [sides(fold) for fold in first] != [sides(fold) for fold in other]


def test_folds_are_made_of_the_rows_given_and_numbered_in_the_whole():
    rows = np.array([5, 1, 3])
    folds = split_folds(np.arange(6), num_folds=3, seed=0, rows=rows)
    assert sorted(fold.validation.tolist() for fold in folds) == [[1], [3], [5]]
    assert all(set(fold.train.tolist()) < {1, 3, 5} for fold in folds)


@pytest.mark.parametrize("num_folds", [1, 4])
def test_a_number_of_folds_that_cannot_be_made_is_refused(num_folds):
    with pytest.raises(
        SplitError, match=f"num_folds is {num_folds}, expected at least 2 and at most 3"
    ):
        split_folds(np.array(["a", "b", "c", "c"]), num_folds=num_folds, seed=0)


def test_shared_groups_are_counted_with_the_clips_they_reach():
    groups = np.array(["a", "b", "c", "a", "b", "b", "d", "a"])
    split = Split(train=np.array([0, 1, 2]), validation=np.array([3, 4, 5, 6]), test=np.array([7]))
    assert group_overlap(groups, split) == {
        "train/validation": {"shared_groups": 2, "shared_clips": 0.75},
        "train/test": {"shared_groups": 1, "shared_clips": 1.0},
        "validation/test": {"shared_groups": 1, "shared_clips": 1.0},
    }


def test_nothing_is_said_of_a_side_that_is_empty():
    split = Split(train=np.array([0]), validation=np.array([1]), test=NONE)
    overlap = group_overlap(np.array(["a", "a"]), split)
    assert overlap == {"train/validation": {"shared_groups": 1, "shared_clips": 1.0}}


def test_a_split_reads_back_as_it_was_written(write_files, tmp_path):
    feature_set = load_feature_set(write_files())
    split = Split(train=np.array([0, 3]), validation=np.array([1]), test=np.array([2]))
    write_split(tmp_path / "split.csv", feature_set, split)
    table = read_split(tmp_path / "split.csv")
    assert table["clip_id"].tolist() == feature_set.clip_ids.tolist()
    assert table["group"].tolist() == feature_set.groups.tolist()
    assert table["split"].tolist() == ["train", "validation", "test", "train"]


def test_a_fit_on_all_rows_is_a_split_without_validation(write_files, tmp_path):
    split = Split(train=np.arange(4), validation=NONE, test=NONE)
    write_split(tmp_path / "split.csv", load_feature_set(write_files()), split)
    assert read_split(tmp_path / "split.csv")["split"].tolist() == ["train"] * 4


def test_a_file_without_sides_is_refused_as_a_split(tmp_path):
    (tmp_path / "split.csv").write_text("clip_id,group\na,b\n")
    with pytest.raises(SplitError, match="has no column split"):
        read_split(tmp_path / "split.csv")


def test_the_split_of_an_earlier_version_with_invisible_differences_is_read(tmp_path):
    rows = ["a,p1,validation", "b ,p1\u00a0,test", "b,p1,train", "c\u200b,p2,test"]
    (tmp_path / "split.csv").write_text("\n".join(["clip_id,group,split", *rows]), encoding="utf-8")
    table = read_split(tmp_path / "split.csv")
    assert table.to_numpy().tolist() == [
        ["a", "p1", "validation"],
        ["b", "p1", "train"],
        ["c", "p2", "test"],
    ]


def test_groups_that_differ_invisibly_stay_on_one_side(write_files):
    num_groups, clips_each = 24, 5
    names = [f"pé{number}" for number in range(num_groups) for _ in range(clips_each)]
    odd = ["{} ", " {}", "{}\u00a0", "{}\u200b", "{}"]
    groups = [form.format(name) for form, name in zip(odd * num_groups, names, strict=True)]
    groups[::7] = [unicodedata.normalize("NFD", name) for name in groups[::7]]
    table = pd.DataFrame({"clip_id": [f"c{row}" for row in range(120)], "group": groups})
    feature_set = load_feature_set(write_files(num_clips=120, clips__csv=table))
    split = split_feature_set(feature_set, validation_fraction=0.2, seed=0)
    persons = np.array(names)
    assert len(set(persons[split.train]) & set(persons[split.validation])) == 0
    assert len(set(feature_set.groups)) == num_groups


def test_a_missing_split_is_refused(tmp_path):
    with pytest.raises(PipelineError, match="there is no such file"):
        read_split(tmp_path / "split.csv")


def test_the_real_clips_are_split_without_a_shared_video(shared_data):
    feature_set = load_feature_set(shared_data / "first_impressions")
    split = split_feature_set(feature_set, validation_fraction=0.2, test_fraction=0.1, seed=3)
    assert [len(rows) for _, rows in split.subsets()] == pytest.approx([4200, 1200, 600], abs=2)
    assert group_overlap(feature_set.groups, split)["train/validation"]["shared_groups"] == 0


def test_names_on_a_side_are_text():
    table = pd.DataFrame(
        {"clip_id": ["a", "b", "c"], "group": ["x", "y", "x"], "split": ["train", "test", "train"]}
    )
    found = names_in_subset(table, "train", "group")
    assert found.tolist() == ["x", "x"]
    assert found.dtype.kind == names_in_subset(table, "validation", "clip_id").dtype.kind == "U"
