import itertools

import pytest

from pipeline.config.yaml_file import read_yaml_mapping
from pipeline.core.errors import ConfigError


def bomb(line: str) -> str:
    """Return YAML with eight levels of nine aliases each, which expand to 9**8 values."""
    levels = ["l0", *(f"l{number}" for number in range(1, 9))]
    rows = [line.format(name=levels[0], parts="{b: 1}" if "<<" in line else "1")]
    for below, name in itertools.pairwise(levels):
        rows.append(line.format(name=name, parts=", ".join([f"*{below}"] * 9)))
    return "".join(rows)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: {c: [2]}\n", {"a": 1, "b": {"c": [2]}}),
        ("a: &a {b: 1}\nc: {<<: *a, d: *a}\n", {"a": {"b": 1}, "c": {"b": 1, "d": {"b": 1}}}),
        ("# empty\n", {}),
    ],
)
def test_keys_and_values_are_read(tmp_path, text, expected):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    assert read_yaml_mapping(path) == expected


def test_a_missing_file_is_an_error_with_the_nearest_name(tmp_path):
    (tmp_path / "first_impressions.yaml").touch()
    with pytest.raises(ConfigError, match=r"Did you mean .*/first_impressions\.yaml\?"):
        read_yaml_mapping(tmp_path / "first_impresions.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: \xff", "cannot be read ("),
        (b"a: b: c", "is not valid YAML ("),
        (b"name: !!python/object:os.system {}", "is not valid YAML ("),
        (b"\tseed: 1", "is not valid YAML ("),
        (b"name: 2024-13-45", "is not valid YAML (month must be in 1..12)."),
        (b"a: [", "is not valid YAML ("),
        (b"- 1\n", "must contain keys and values; found a list."),
        (b"text", "must contain keys and values; found a str."),
        (b"a: 1\na: 2\n", "is not valid YAML (the key 'a' is given twice"),
        (b"a: {b: 2, b: 4}", "is not valid YAML (the key 'b' is given twice"),
        (b"? [a]\n: b\n", "is not valid YAML ("),
        (b"a: " + b"[" * 20_000, "is not valid YAML (it is nested more than 32 levels deep"),
        (b"{a: " * 20_000, "is not valid YAML (it is nested more than 32 levels deep"),
        (b"a: &x [*x]", "is not valid YAML (an alias refers to a value that contains it"),
        (b"a: " + b"x" * 2**20, "is not valid YAML (it is larger than 1 MiB"),
        (bomb("- &{name} [{parts}]\n").encode(), "is not valid YAML (its aliases expand to more"),
        (
            bomb("{name}: &{name} {{<<: [{parts}]}}\n").encode(),
            "is not valid YAML (its aliases expand to more",
        ),
    ],
    ids=range(17),
)
def test_a_bad_file_is_an_error_with_its_path(tmp_path, content, message):
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        read_yaml_mapping(path)
    assert str(error.value).startswith(f"{path}: {message}")
