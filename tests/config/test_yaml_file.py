"""A YAML file of keys and values, or one line that says what is wrong with it."""

import itertools

import pytest

from pipeline.config.yaml_file import read_yaml_mapping
from pipeline.core.errors import ConfigError


def bomb(line: str) -> str:
    """Eight levels, each of nine aliases of the level below: 9**8 values."""
    levels = ["l0", *(f"l{number}" for number in range(1, 9))]
    rows = [line.format(name=levels[0], parts="{b: 1}" if "<<" in line else "1")]
    for below, name in itertools.pairwise(levels):
        rows.append(line.format(name=name, parts=", ".join([f"*{below}"] * 9)))
    return "".join(rows)


def test_keys_and_values_are_read(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\nb: {c: [2]}\n")
    assert read_yaml_mapping(path) == {"a": 1, "b": {"c": [2]}}


def test_aliases_and_merged_keys_are_read(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: &a {b: 1}\nc: {<<: *a, d: *a}\n")
    assert read_yaml_mapping(path) == {"a": {"b": 1}, "c": {"b": 1, "d": {"b": 1}}}


def test_of_a_missing_file_the_nearest_one_is_named(tmp_path):
    (tmp_path / "first_impressions.yaml").touch()
    with pytest.raises(ConfigError, match=r"Did you mean .*/first_impressions\.yaml\?"):
        read_yaml_mapping(tmp_path / "first_impresions.yaml")


def test_an_empty_file_holds_nothing(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("# nothing\n")
    assert read_yaml_mapping(path) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "the key 'a' is given twice"),
        ("- 1\n", "found a list"),
        ("a: [", "not valid"),
        ("a: " + "[" * 20_000, "it is nested more than 32 levels deep"),
        ("{a: " * 20_000, "it is nested more than 32 levels deep"),
        ("a: &x [*x]", "an alias stands for the value that it is in"),
        ("a: " + "x" * 2**20, "it is larger than 1 MiB"),
        (bomb("- &{name} [{parts}]\n"), "its aliases stand for more than 100000 values"),
        (bomb("{name}: &{name} {{<<: [{parts}]}}\n"), "its aliases stand for more than"),
        ("? [a]\n: b\n", "unhashable key"),
    ],
    ids=range(10),
)
def test_what_is_wrong_is_said_with_the_name_of_the_file(tmp_path, text, message):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as refusal:
        read_yaml_mapping(path)
    assert str(refusal.value).startswith(f"{path}: ")
