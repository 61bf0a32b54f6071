"""Labels and groups are joined by clip id."""

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import ConfigError, FeatureSetError
from pipeline.core.traits import TRAITS, TraitLabel
from pipeline.data.join import find_groups, join_labels
from pipeline.data.readers.label_table import Labels


def labels_of(scores: dict[str, float], **columns) -> Labels:
    """Return labels with the same score for all traits of a clip."""
    index = list(scores)
    table = pd.DataFrame({trait: list(scores.values()) for trait in TRAITS}, index=index)
    return Labels(
        scores=table,
        traits=tuple(TraitLabel(name=trait) for trait in TRAITS),
        **{name: pd.Series(values, index=index) for name, values in columns.items()},
    )


def test_labels_are_joined_by_clip_id():
    joined = join_labels(
        labels_of({"a": 0.1, "b": 0.2, "c": 0.3}, groups=["p", "q", "r"]), ["c", "x", "a"]
    )
    np.testing.assert_array_equal(joined.scores[[0, 2], 0], np.float32([0.3, 0.1]))
    assert np.isnan(joined.scores[1]).all()
    assert joined.is_labelled.tolist() == [True, False, True]
    assert (joined.match.missing, joined.match.unused) == (("x",), ("b",))
    assert (joined.groups, joined.splits) == (("r", "", "p"), None)


@pytest.mark.parametrize("clip", ["v.001", "v.001.mp4", "v.001.AVI", "videos/v.001.mp4"])
@pytest.mark.parametrize("annotated", ["v.001", "v.001.mp4", "v.001.mkv"])
def test_suffixes_and_folders_are_ignored(clip, annotated):
    assert join_labels(labels_of({annotated: 0.5}), [clip]).is_labelled.all()


def test_other_endings_are_not_ignored():
    joined = join_labels(labels_of({"v.001": 0.5}), ["v.002", "v"])
    assert joined.match.missing == ("v.002", "v")
    assert joined.match.unused == ("v.001",)


@pytest.mark.parametrize(
    ("annotated", "clips", "origin"),
    [
        ({"a.mp4": 0.1, "a.avi": 0.2}, ["b"], "the annotations"),
        ({"b": 0.1}, ["a", "a.mp4"], "the clips"),
    ],
)
def test_two_ids_of_the_same_clip_are_an_error(annotated, clips, origin):
    with pytest.raises(FeatureSetError, match=f"{origin}: contains both 'a.*' and 'a.*'"):
        join_labels(labels_of(annotated), clips)


def test_a_rule_has_priority_over_a_column_and_a_column_over_the_names(tmp_path):
    table = tmp_path / "people.csv"
    table.write_text("Group;video\np;a_1.mp4\nq;b_1.mp4\n")
    clips = ["a_1", "b_1"]
    assert find_groups(clips, clips).names == ("a_1", "b_1")
    assert find_groups(clips, clips, given=["x", "x"], origin="labels.csv").names == ("x", "x")
    assert find_groups(clips, clips, "prefix", given=["x", "x"]).names == ("a", "b")
    assert find_groups(clips, clips, str(table), given=["x", "x"]).names == ("p", "q")


def test_usual_names_of_persons_and_a_column_with_ids_are_found(tmp_path):
    table = tmp_path / "ratings.csv"
    table.write_text("Code;Person;Curious\na_1;p;2\nb_1;q;5\n")
    clips = ["a_1.mp4", "b_1.mp4"]
    assert find_groups(clips, clips, str(table)).names == ("p", "q")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("clip_id,who\na,p\n", r"people\.csv: has no column group\..*clip_id, who"),
        ("who,group\nz,p\n", "has no column clip_id.*who, group"),
        ("clip_id,group\na,p\n", r"1 of 2 clips have no group\. The first is 'b'"),
        ("clip_id,group\na,p\nb,\n", r"1 of 2 clips have no group\. The first is 'b'"),
    ],
)
def test_a_wrong_table_of_groups_is_an_error(tmp_path, content, message):
    path = tmp_path / "people.csv"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        find_groups(["a", "b"], ["a", "b"], str(path))


def test_a_blank_group_in_a_column_is_an_error():
    with pytest.raises(ConfigError, match=r"labels\.csv: the clip 'b' has a blank group"):
        find_groups(["a", "b"], ["a", "b"], given=["p", ""], origin="labels.csv")
