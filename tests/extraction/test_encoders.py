"""A configuration chooses the encoders, and equal ones describe themselves alike."""

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
    Projected,
    build_dynamic_encoder,
    build_static_encoder,
)
from pipeline.extraction.encoders.projection import gaussian_projection


def test_the_default_needs_no_download_and_is_as_wide_as_promised():
    config = ExtractionConfig()
    assert build_static_encoder(config).width == 512
    assert build_dynamic_encoder(config).width == 256


def test_a_width_of_zero_keeps_the_encoder_as_it_is():
    config = ExtractionConfig(static=StaticConfig(dim=0), dynamic=DynamicConfig(dim=0))
    assert build_static_encoder(config).width == 512
    assert build_dynamic_encoder(config).width == 256


def test_a_smaller_width_is_a_projection_that_says_so():
    config = ExtractionConfig(static=StaticConfig(dim=64), projection=ProjectionConfig(seed=3))
    narrow, wide = build_static_encoder(config), build_static_encoder(ExtractionConfig())
    assert narrow.width == 64
    assert narrow.describe()["projection"] == {"method": "gaussian", "dim": 64, "seed": 3}
    crops = np.random.default_rng(0).integers(0, 256, (2, 112, 112), dtype=np.uint8)
    expected = wide(crops) @ gaussian_projection(512, 64, seed=3)
    np.testing.assert_allclose(narrow(crops), expected, rtol=1e-5)


def test_no_description_without_random_weights_holds_that_word():
    config = ExtractionConfig(static=StaticConfig(dim=64))
    assert "random" not in str(build_static_encoder(config).describe())


def test_a_projection_keeps_what_the_encoder_wants_to_see():
    config = ExtractionConfig(static=StaticConfig(dim=64))
    encoder = build_static_encoder(config)
    assert isinstance(encoder, Projected)
    assert encoder.crop_px == 112
    assert not encoder.wants_colour


def test_vectors_cannot_become_wider():
    with pytest.raises(ConfigError, match="256 wide and cannot be projected to 300"):
        build_dynamic_encoder(ExtractionConfig(dynamic=DynamicConfig(dim=300)))


@pytest.mark.slow
def test_networks_are_projected_to_the_promised_widths():
    config = ExtractionConfig(
        static=StaticConfig(encoder="mobilenet", weights="random", image_px=64),
        dynamic=DynamicConfig(encoder="mobilenet", weights="random"),
    )
    static, dynamic = build_static_encoder(config), build_dynamic_encoder(config)
    assert (static.width, dynamic.width) == (512, 256)
    assert static.wants_colour
    assert "random" in static.describe()["weights"]


@pytest.mark.slow
def test_an_unknown_encoder_is_refused():
    with pytest.raises(ConfigError, match=r"no network of keras\.applications"):
        build_static_encoder(ExtractionConfig(static=StaticConfig(encoder="hug", weights="x")))
