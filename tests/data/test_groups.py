"""Groups of clips from their names."""

import pytest

from pipeline.core.errors import ConfigError
from pipeline.data.groups import assign_groups, describe_groups, is_group_table

CHALEARN = ["J4GQm9j0JZ0.003.mp4", "J4GQm9j0JZ0.004.mp4", "-AmMDnVl4s8.003.mp4"]
PEOPLE = ["anna/anna_00.mp4", "anna/anna_01.mp4", "ben/ben_00.mp4", "ben/ben_01.mp4"]


@pytest.mark.parametrize(
    ("clips", "rule", "expected"),
    [
        (CHALEARN, "", ["J4GQm9j0JZ0", "J4GQm9j0JZ0", "-AmMDnVl4s8"]),
        (PEOPLE, "", ["anna", "anna", "ben", "ben"]),
        (["anna_00.mp4", "anna_01.mp4", "ben_00.mp4"], "", ["anna_00", "anna_01", "ben_00"]),
        (["a/1.mp4", "a/2.mp4", "b/3.mp4"], "", ["a/1", "a/2", "b/3"]),
        (["a/1.mp4", "a/2.mp4", "b/1.mp4", "c.mp4"], "", ["a", "a", "b", "c"]),
        (
            ["train/1", "train/2", "test/3", "test/4"],
            "",
            ["train/1", "train/2", "test/3", "test/4"],
        ),
        (["a/v1.000.mp4", "a/v1.001.mp4", "b/v2.000.mp4"], "", ["v1", "v1", "v2"]),
        (PEOPLE, "folder", ["anna", "anna", "ben", "ben"]),
        (["x/a/1", "x/a/2", "x/b/1"], "folder", ["x/a", "x/a", "x/b"]),
        (["anna_00.mp4", "ben-x_01", "-c.000"], "prefix", ["anna", "ben", "-c"]),
        (["s01/e2.mp4", "s02/e2.mp4"], r"regex:^s(\d+)", ["01", "02"]),
        (["s01_e2.mp4", "s02_e2.mp4"], r"regex:^s\d+", ["s01", "s02"]),
    ],
)
def test_the_group_of_each_clip(clips, rule, expected):
    assert list(assign_groups(clips, rule).names) == expected


@pytest.mark.parametrize(
    ("clips", "rule", "named"),
    [
        (["a/1.mp4", "2.mp4"], "folder", "2.mp4"),
        (["a_1", "..."], "prefix", r"\.\.\."),
        (["a", "b"], "regex:(", "not a regular expression"),
        (["a1", "b"], r"regex:\d", "the clip b"),
        (["a1"], r"regex:x?()", "the clip a1"),
        (["a1"], "prefixes", "Did you mean 'prefix'"),
    ],
)
def test_a_rule_that_gives_no_group_is_an_error(clips, rule, named):
    with pytest.raises(ConfigError, match=named):
        assign_groups(clips, rule)


def test_the_description_has_the_numbers_the_rule_and_the_largest_groups():
    clips = [f"anna/{number}" for number in range(30)] + ["ben/0", "ben/1"]
    assert assign_groups(clips).description == (
        "32 clips in 2 groups. The groups are the folders of the clips: anna (30 clips), "
        "ben (2 clips)."
    )


def test_a_set_without_groups_has_a_hint():
    assert assign_groups(["a", "b"]).description == describe_groups(2, 2)
    assert describe_groups(60, 60) == (
        "60 clips in 60 groups: every clip counts as a different person. If one person appears in "
        "several clips, give --groups."
    )
    line = describe_groups(60, 60, is_prepared=True)
    assert line.endswith("give --groups to `prepare` or `extract`.")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("people.csv", True),
        ("a/p.tsv", True),
        ("prefix", False),
        (r"regex:(.*)\.mp4", False),
        ("", False),
    ],
)
def test_a_rule_with_a_suffix_is_a_table(rule, expected):
    assert is_group_table(rule) is expected
