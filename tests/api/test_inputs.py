from pathlib import Path

import pytest

from pipeline.api.inputs import (
    config_from,
    data_config,
    experiment_config,
    feature_arguments,
    model_source,
)
from pipeline.config.extraction import ExtractionConfig
from pipeline.config.loading import load_extraction_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import ConfigError


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_a_complete_configuration(tmp_path, kind):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nseed: 3\n")
    config, given, base = experiment_config(kind(path), {"training.num_epochs": 7})
    assert (config.name, config.seed, config.training.num_epochs) == ("mine", 3, 7)
    assert given is None
    assert (base.seed, base.training.num_epochs) == (3, ExperimentConfig().training.num_epochs)


@pytest.mark.parametrize("config", [None, {"seed": 3}])
def test_without_a_file_the_given_names_are_returned(config):
    loaded, given, _ = experiment_config(config, {"model.num_heads": 2})
    assert set(given) == {*(config or {}), "model.num_heads"}
    assert loaded.seed == (config or {}).get("seed", ExperimentConfig().seed)


def test_an_object_is_changed_only_by_the_settings():
    config, given, _ = experiment_config(ExperimentConfig(seed=3), {"model.num_heads": 2})
    assert (config.seed, config.model.num_heads, given) == (3, 2, None)


def test_a_misspelt_setting_is_an_error_with_the_nearest_name():
    with pytest.raises(ConfigError, match="num_epochs"):
        experiment_config(ExperimentConfig(), {"training.num_epoch": 2})


def test_extraction_settings_are_given_by_name_or_as_an_object():
    load = (ExtractionConfig, load_extraction_config)
    config = config_from({"sampling.num_steps": 4}, {"sampling.num_steps": 8}, *load)
    assert config.sampling.num_steps == 8
    assert config_from(config, {}, *load) is config
    with pytest.raises(ConfigError, match=r"dataclasses\.replace"):
        config_from(config, {"sampling.num_steps": 4}, *load)


def test_given_features_replace_the_built_in_set():
    settings = feature_arguments(["a.csv", "b.csv"], features_dir=Path("features/mine"))
    assert settings["data.features_dir"] == "features/mine"
    assert settings["data.synthetic"] is None
    assert settings["data.labels"] == "a.csv,b.csv"
    assert data_config(None, features_dir=None) is None


@pytest.mark.parametrize("uri", ["models:/ocean@champion", "models:/ocean/1", "runs:/abc/model"])
def test_the_uri_of_a_model_is_not_a_run(uri):
    assert model_source(uri) == (None, uri)
