"""A YAML file of keys and values, or one line that says what is wrong with it."""

import pytest

from pipeline.config.yaml_file import read_yaml_mapping
from pipeline.core.errors import ConfigError


def test_keys_and_values_are_read(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\nb: {c: [2]}\n")
    assert read_yaml_mapping(path) == {"a": 1, "b": {"c": [2]}}


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
    ],
)
def test_what_is_wrong_is_said_with_the_name_of_the_file(tmp_path, text, message):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as refusal:
        read_yaml_mapping(path)
    assert str(refusal.value).startswith(f"{path}: ")
