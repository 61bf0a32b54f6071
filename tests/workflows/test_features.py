from pathlib import Path

import numpy as np
import pytest

from pipeline.config.loading import load_config
from pipeline.core.errors import ConfigError, FeatureSetError
from pipeline.data.feature_set import load_feature_files
from pipeline.workflows.features import open_features, trainable_labels, with_absolute_paths


def write_files(directory, labels):
    rng = np.random.default_rng(0)
    paths = {name: directory / f"{name}.npy" for name in ("static", "dynamic", "labels")}
    for name in ("static", "dynamic"):
        np.save(paths[name], rng.normal(size=(len(labels), 3)))
    np.save(paths["labels"], np.asarray(labels, np.float32))
    return paths


def load(paths):
    return load_feature_files(
        static_features=paths["static"], dynamic_features=paths["dynamic"], labels=paths["labels"]
    )


def test_paths_hold_from_any_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = with_absolute_paths(load_config(None, {"data.features_dir": "features"}))
    assert config.data.features_dir == str(tmp_path / "features")
    assert config.data.labels == ""


def test_a_tilde_is_the_home_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = load_config(None, {"data.clips": "~/clips.csv", "model.static_encoder": "~/a.keras"})
    config = with_absolute_paths(config)
    assert config.data.clips == str(tmp_path / "clips.csv")
    assert config.model.static_encoder == str(tmp_path / "a.keras")


def test_a_configuration_without_features_is_refused_with_the_options_that_name_them():
    with pytest.raises(ConfigError, match=r"--features_dir DIR.*--static_features"):
        open_features(load_config(None).data)


def test_one_stream_alone_is_not_a_feature_set():
    with pytest.raises(ConfigError, match="No features are given"):
        open_features(load_config(None, {"data.static_features": "x.npy"}).data)


def test_files_are_opened_one_by_one(tmp_path):
    paths = write_files(tmp_path, np.full((4, 5), 0.5))
    overrides = {
        "data.static_features": str(paths["static"]),
        "data.dynamic_features": str(paths["dynamic"]),
        "data.labels": str(paths["labels"]),
    }
    assert open_features(load_config(None, overrides).data).num_clips == 4


def test_the_built_in_set_is_made_once(tmp_path):
    overrides = {"data.features_dir": str(tmp_path / "demo"), "data.synthetic.num_clips": 12}
    data = load_config(None, overrides).data
    first = open_features(data)
    written = (tmp_path / "demo" / "static.npy").stat().st_mtime_ns
    assert open_features(data).digest == first.digest
    assert (tmp_path / "demo" / "static.npy").stat().st_mtime_ns == written


def test_labels_that_are_all_the_same_teach_nothing(tmp_path):
    with pytest.raises(FeatureSetError, match="all 4 clips have the same labels"):
        trainable_labels(load(write_files(tmp_path, np.full((4, 5), 0.5))))


def test_one_clip_is_left_to_the_split_to_refuse(tmp_path):
    assert trainable_labels(load(write_files(tmp_path, np.full((1, 5), 0.5)))).shape == (1, 5)


def test_labels_that_differ_in_one_score_are_taken(tmp_path):
    labels = np.full((4, 5), 0.5)
    labels[2, 3] = 0.6
    assert trainable_labels(load(write_files(tmp_path, labels))).shape == (4, 5)


def test_a_relative_path_is_opened_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = write_files(Path(), np.full((2, 5), 0.5))
    assert load(paths).num_clips == 2


def test_the_file_of_an_encoder_is_found_from_any_directory(own_directory):
    settings = {"model.static_encoder": "faces.keras", "model.dynamic_encoder": "conv"}
    model = with_absolute_paths(load_config(None, settings)).model
    assert model.static_encoder == str(own_directory / "faces.keras")
    assert model.dynamic_encoder == "conv"
