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
    select_used_streams,
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


@pytest.mark.parametrize("overrides", [{}, {"data.labels": "x.npy"}])
def test_a_configuration_without_features_is_an_error(overrides):
    with pytest.raises(ConfigError, match=r"--features_dir DIR.*--static_features"):
        open_features(load_config(None, overrides).data)


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


def single_files(features_dir, *names, **settings):
    given = {f"data.{name}_features": str(features_dir / f"{name}.npy") for name in names}
    return load_config(None, {**given, **settings})


def test_one_file_is_enough(small_features):
    features = open_features(single_files(small_features, "dynamic").data)
    assert list(features.streams) == ["dynamic"]


def test_the_configuration_chooses_and_orders_the_streams(small_features):
    both = single_files(small_features, "static", "dynamic", **{"data.streams": "dynamic,static"})
    directory = {"data.features_dir": str(small_features), "data.streams": "dynamic,static"}
    for config in (both, load_config(None, directory)):
        assert list(open_features(config.data).streams) == ["dynamic", "static"]


@pytest.mark.parametrize(
    ("names", "fusion", "expected"),
    [
        (("static", "dynamic"), "static_only", "static"),
        (("static", "dynamic"), "dynamic_only", "dynamic"),
        (("static",), "static_only", "static"),
        (("static",), "dynamic_only", None),
    ],
)
def test_the_fusion_with_one_stream_uses_only_this_stream(small_features, names, fusion, expected):
    config = single_files(small_features, *names, **{"model.fusion": fusion})
    features = open_features(config.data)
    if expected is not None:
        selected = select_used_streams(features, config)
        assert list(selected.streams) == [expected]
        alone = open_features(single_files(small_features, expected).data)
        assert selected.digest == alone.digest
    else:
        with pytest.raises(FeatureSetError, match=r"has no stream dynamic.*model\.fusion"):
            select_used_streams(features, config)


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        ({"data.static_features": "."}, FeatureSetError, r"is a directory.*--features_dir"),
        ({"data.static_features": "x.csv"}, FeatureSetError, r"is a table.*prepare --stream"),
        (
            {"data.static_features": "x.npy", "data.streams": "dynamic"},
            ConfigError,
            r"stream dynamic is not given.*--dynamic_features FILE",
        ),
        (
            {"data.static_features": "x.npy", "data.streams": "audio"},
            ConfigError,
            r"stream audio is not given.*Give --features_dir DIR",
        ),
    ],
)
def test_wrong_feature_files_are_an_error(tmp_path, monkeypatch, overrides, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("a,b\n")
    with pytest.raises(error, match=message):
        open_features(load_config(None, overrides).data)


def test_some_of_the_traits_can_be_chosen(small_features):
    settings = {"data.features_dir": str(small_features), "data.traits": "neuroticism,openness"}
    features = open_features(load_config(None, settings).data)
    assert features.trait_names == ("neuroticism", "openness")
    assert [trait.name for trait in features.traits] == ["neuroticism", "openness"]
    assert features.checked_labels().shape[1] == 2
