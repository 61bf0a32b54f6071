import dataclasses
import json

import pytest

from pipeline.core.errors import RunError
from pipeline.core.traits import TRAITS, TraitLabel
from pipeline.records.data_description import DataDescription, read_data, write_data

DATA = DataDescription(
    digest="d1ce",
    num_clips=6,
    streams={"static": [6, 4, 2], "audio": [6, 3]},
    sources=["features/static.npy"],
)


def test_a_written_description_is_read_with_the_streams_in_order(tmp_path):
    path = tmp_path / "data.json"
    write_data(path, DATA)
    assert read_data(path) == DATA
    assert list(read_data(path).streams) == ["static", "audio"]


def test_a_description_of_an_early_version_has_two_streams(tmp_path):
    path = tmp_path / "data.json"
    content = DATA.to_json()
    del content["streams"]
    path.write_text(json.dumps({**content, "static_shape": [6, 4, 2], "dynamic_shape": [6, 3]}))
    assert read_data(path).streams == {"static": [6, 4, 2], "dynamic": [6, 3]}


def test_a_description_without_streams_is_an_error(tmp_path):
    path = tmp_path / "data.json"
    content = DATA.to_json()
    del content["streams"]
    path.write_text(json.dumps(content))
    with pytest.raises(RunError, match="streams"):
        read_data(path)


def test_without_names_the_traits_are_the_ocean_traits():
    assert DATA.trait_names == TRAITS
    traits = (TraitLabel(name="interview"), TraitLabel(name="honesty"))
    assert dataclasses.replace(DATA, traits=traits).trait_names == ("interview", "honesty")
