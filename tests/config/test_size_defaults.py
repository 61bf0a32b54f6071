import pytest

from pipeline.config.loading import load_config
from pipeline.config.size_defaults import settings_for_size, with_size_defaults


@pytest.mark.parametrize("num_clips", [48, 240, 4_800, 16_000, 10**9])
def test_every_size_has_valid_settings(num_clips):
    config, line = with_size_defaults(load_config(), (), num_clips=num_clips)
    assert config.training.num_epochs == 50
    assert config.training.early_stopping_patience > 0
    assert config.model.linear_start == "ridge"
    assert line.startswith(f"settings for {num_clips} training clips: model.fusion_dim=")
    assert line.endswith("python -m pipeline config")


def test_more_clips_give_a_wider_model():
    widths = [
        settings_for_size(num_clips)["model.fusion_dim"] for num_clips in (240, 4_800, 16_000)
    ]
    assert widths == sorted(set(widths))


def test_given_settings_are_never_changed():
    given = {"model.fusion_dim": 64, "training.learning_rate": "5e-4", "model.linear_start": "zero"}
    config, line = with_size_defaults(load_config(None, given), given, num_clips=240)
    assert config.model.fusion_dim == 64
    assert config.training.learning_rate == 5e-4
    assert config.model.linear_start == "zero"
    assert not any(name in line for name in given)


def test_the_width_fits_a_given_number_of_heads():
    given = {"model.num_heads": 32}
    config, _ = with_size_defaults(load_config(None, given), given, num_clips=240)
    assert (config.model.num_heads, config.model.fusion_dim) == (32, 32)


@pytest.mark.parametrize(
    ("given", "has_images"), [({"model.linear_skip": False}, False), ({}, True)]
)
def test_models_that_cannot_start_at_ridge_start_at_zero(given, has_images):
    config = load_config(None, given)
    config, line = with_size_defaults(config, given, num_clips=240, has_images=has_images)
    assert config.model.linear_start == "zero"
    assert "linear_start" not in line
