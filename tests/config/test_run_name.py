import pytest

from pipeline.config.loading import load_config
from pipeline.config.run_name import default_run_name, name_with_settings

DEMO = {"name": "demo"}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, "demo"),
        ({"training.num_epochs": 5, "model.fusion": "concat"}, "demo fusion=concat num_epochs=5"),
        ({"seed": 1, "training.learning_rate": 1e-3}, "demo seed=1"),  # 0.001 is the default
        ({"tracking.experiment": "x", "data.features_dir": "elsewhere"}, "demo"),
        ({"training.frozen": ["a", "b"]}, "demo frozen=a+b"),
    ],
)
def test_the_name_has_the_experiment_and_the_changed_settings(overrides, expected):
    base, config = load_config(None, DEMO), load_config(None, {**DEMO, **overrides})
    assert default_run_name(config, base) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"data.features_dir": "/data/faces"}, "faces seed=2"),
        ({"data.static_features": "/data/audio/static.npy"}, "audio seed=2"),
        ({}, "experiment seed=2"),
    ],
)
def test_without_an_experiment_the_name_has_the_feature_directory(files, expected):
    assert default_run_name(load_config(None, {**files, "seed": 2})) == expected


def test_a_long_name_ends_with_the_number_of_other_settings():
    settings = {f"model.setting_number_{number}": 0.1 + 0.2 for number in range(9)}
    name = name_with_settings("trial-0001", settings)
    assert name == "trial-0001 setting_number_0=0.3 setting_number_1=0.3 +7"
