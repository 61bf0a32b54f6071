import dataclasses

import numpy as np
import pandas as pd
import pytest

from pipeline.config.loading import load_config
from pipeline.core.errors import ConfigError, FeatureSetError, PipelineError
from pipeline.data.feature_set import load_feature_set
from pipeline.workflows.features import (
    check_columns,
    check_labels_vary,
    column_values,
    existing_columns,
    open_features,
    with_absolute_paths,
)


def test_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    settings = {"data.static_features": "static.npy", "data.clips": "~/clips.csv"}
    encoders = {"model.static_encoder": "faces.keras", "model.dynamic_encoder": "conv"}
    config = with_absolute_paths(load_config(None, {**settings, **encoders}))
    assert config.data.static_features == str(tmp_path / "static.npy")
    assert config.data.clips == str(tmp_path / "home" / "clips.csv")
    assert config.data.labels == ""
    assert config.model.static_encoder == str(tmp_path / "faces.keras")
    assert config.model.dynamic_encoder == "conv"


def test_a_configuration_without_features_is_an_error():
    with pytest.raises(ConfigError, match=r"--features_dir DIR.*--static_features"):
        open_features(load_config(None, {}).data)


def test_paths_of_several_label_tables_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = with_absolute_paths(load_config(None, {"data.labels": "a.csv, ~/b.pkl"}))
    first, second = config.data.labels.split(",")
    assert first == str(tmp_path / "a.csv")
    assert second.endswith("/b.pkl")
    assert not second.startswith("~")


def test_the_built_in_set_is_written_once(tmp_path):
    overrides = {"data.features_dir": str(tmp_path / "demo"), "data.synthetic.num_clips": 12}
    data = load_config(None, overrides).data
    first = open_features(data)
    written = (tmp_path / "demo" / "static.npy").stat().st_mtime_ns
    assert open_features(data).digest == first.digest
    assert (tmp_path / "demo" / "static.npy").stat().st_mtime_ns == written


@pytest.fixture
def features(small_features, tmp_path):
    """The small set with a column of two values and a column of 60 values."""
    for path in small_features.iterdir():
        (tmp_path / path.name).symlink_to(path)
    table = pd.read_csv(tmp_path / "clips.csv")
    (tmp_path / "clips.csv").unlink()
    table = table.assign(gender=["female", "male"] * 30, age=np.arange(60))
    table.to_csv(tmp_path / "clips.csv", index=False)
    return load_feature_set(tmp_path)


def test_equal_labels_of_several_clips_are_an_error(features):
    equal = dataclasses.replace(features, labels=np.full((60, 5), 0.5))
    with pytest.raises(FeatureSetError, match="all 60 clips have the same labels"):
        check_labels_vary(equal)
    check_labels_vary(dataclasses.replace(equal, labels=equal.labels[:1]))
    equal.labels[2, 3] = 0.6
    check_labels_vary(equal)


def test_column_values_are_in_the_order_of_the_rows(features):
    assert column_values(features, np.array([3, 0]), ("gender",)) == {"gender": ["male", "female"]}


def test_invisible_differences_are_removed_from_column_values(features):
    table = features.clips.assign(gender=["male ", "male", "male\u00a0", "\u200bmale"] * 15)
    odd = dataclasses.replace(features, clips=table)
    assert set(column_values(odd, np.arange(60), ("gender",))["gender"]) == {"male"}


def test_missing_columns_are_left_out(features):
    assert existing_columns(features, ("gender", "camera_angle")) == ("gender",)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("gneder",), r"no column gneder .*gender, age\. Did you mean 'gender'"),
        (("gender", "age"), "column 'age' has 60 distinct values"),
    ],
)
def test_unusable_columns_are_an_error(features, columns, message):
    with pytest.raises(PipelineError, match=message):
        check_columns(features, columns, np.arange(60))


def test_only_the_values_of_the_reported_clips_count(features):
    check_columns(features, ("gender", "age"), np.arange(50))
    check_columns(features, ("age",))
