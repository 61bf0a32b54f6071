"""Encoders are built from the configuration, with a projection to the configured width."""

import numpy as np
import pytest

from pipeline.config.extraction import (
    DynamicConfig,
    ExtractionConfig,
    ProjectionConfig,
    StaticConfig,
)
from pipeline.core.errors import ConfigError
from pipeline.extraction.encoders.encoders import (
    build_dynamic_encoder,
    build_static_encoder,
    gaussian_projection,
)

CORNER = [
    [-0.019228534772992134, 0.09193197637796402],
    [-0.036563530564308167, 0.013606708496809006],
]


@pytest.mark.parametrize(
    "config",
    [
        ExtractionConfig(),
        ExtractionConfig(static=StaticConfig(dim=0), dynamic=DynamicConfig(dim=0)),
    ],
    ids=["default", "own width"],
)
def test_encoders_without_projection_keep_their_width(config):
    assert build_static_encoder(config).width == 512
    assert build_dynamic_encoder(config).width == 256
    assert "projection" not in build_static_encoder(config).describe()


def test_a_smaller_width_is_a_projection():
    config = ExtractionConfig(static=StaticConfig(dim=64), projection=ProjectionConfig(seed=3))
    narrow, wide = build_static_encoder(config), build_static_encoder(ExtractionConfig())
    assert (narrow.width, narrow.crop_px, narrow.uses_colour) == (64, 112, False)
    assert narrow.describe()["projection"] == {"method": "gaussian", "dim": 64, "seed": 3}
    assert "random" not in str(narrow.describe())
    crops = np.random.default_rng(0).integers(0, 256, (2, 112, 112), dtype=np.uint8)
    expected = wide(crops) @ gaussian_projection(512, 64, seed=3)
    np.testing.assert_allclose(narrow(crops), expected, rtol=1e-5)


@pytest.mark.slow
def test_networks_are_projected_to_the_configured_widths():
    config = ExtractionConfig(
        static=StaticConfig(encoder="mobilenet", weights="random", image_px=64),
        dynamic=DynamicConfig(encoder="mobilenet", weights="random"),
    )
    static, dynamic = build_static_encoder(config), build_dynamic_encoder(config)
    assert (static.width, dynamic.width) == (512, 256)
    assert static.uses_colour
    assert "random" in static.describe()["weights"]


@pytest.mark.slow
def test_an_unknown_encoder_is_an_error():
    with pytest.raises(ConfigError, match=r"'hug' is not a network in keras\.applications"):
        build_static_encoder(ExtractionConfig(static=StaticConfig(encoder="hug", weights="x")))


def test_a_projection_preserves_distances_on_average():
    vectors = np.random.default_rng(1).normal(size=(40, 2048)).astype(np.float32)
    projected = vectors @ gaussian_projection(2048, 512, seed=0)
    ratios = np.linalg.norm(np.diff(projected, axis=0), axis=1) / np.linalg.norm(
        np.diff(vectors, axis=0), axis=1
    )
    assert ratios.mean() == pytest.approx(1.0, abs=0.03)
    assert ratios.std() < 0.06


def test_a_projection_depends_only_on_its_seed():
    first = gaussian_projection(64, 8, seed=0)
    np.testing.assert_array_equal(first, gaussian_projection(64, 8, seed=0))
    assert not np.allclose(first, gaussian_projection(64, 8, seed=1))
    assert first.dtype == np.float32
    # Other values would be incompatible with all existing feature sets.
    corner = gaussian_projection(2048, 512, seed=0)[:2, :2]
    np.testing.assert_allclose(corner, CORNER, atol=1e-7)


def test_a_projection_to_more_features_is_an_error():
    with pytest.raises(ConfigError, match=r"width 256 cannot be projected to dim=300.*at most 256"):
        build_dynamic_encoder(ExtractionConfig(dynamic=DynamicConfig(dim=300)))
