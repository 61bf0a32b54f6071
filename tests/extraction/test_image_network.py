"""A network describes each crop on its own, in the colours and the range that it knows."""

import keras
import numpy as np
import pytest

from pipeline.config.extraction import StaticConfig
from pipeline.core.errors import ExtractionError
from pipeline.extraction.encoders.image_network import ImageNetwork

pytestmark = pytest.mark.slow

CROPS = np.random.default_rng(0).integers(0, 256, (18, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def encoder():
    config = StaticConfig(encoder="mobilenet", weights="random", image_px=64)
    return ImageNetwork(config, seed=0)


def test_each_crop_has_a_vector(encoder):
    assert encoder(CROPS).shape == (18, encoder.width) == (18, 1024)
    assert encoder.crop_px == 64
    assert encoder.wants_colour


def test_a_vector_does_not_hang_on_the_other_crops(encoder):
    np.testing.assert_allclose(encoder(CROPS)[17], encoder(CROPS[17:])[0], atol=1e-5)


def test_pixels_are_prepared_as_the_network_was_trained(encoder):
    prepared = keras.applications.mobilenet.preprocess_input(CROPS.astype(np.float32))
    expected = np.asarray(encoder._network(prepared))
    np.testing.assert_allclose(encoder(CROPS), expected, atol=1e-4)


def test_the_description_names_network_weights_and_size(encoder):
    assert encoder.describe() == {
        "encoder": "mobilenet",
        "weights": "random, seed 0",
        "image_px": 64,
    }


def model_file(path, shape, *, pooled=True):
    inputs = keras.Input(shape)
    pool = keras.layers.GlobalAveragePooling2D()
    keras.Model(inputs, pool(inputs) if pooled else inputs).save(path)
    return StaticConfig(encoder="keras_file", weights=str(path))


def test_a_model_file_sees_rgb_from_0_to_255(tmp_path):
    encoder = ImageNetwork(model_file(tmp_path / "m.keras", (64, 64, 3)), seed=0)
    assert encoder.crop_px == 64
    np.testing.assert_allclose(encoder(CROPS), CROPS.mean(axis=(1, 2)), rtol=1e-4)


@pytest.mark.parametrize(
    ("shape", "pooled"), [((64, 64, 1), True), ((64, 32, 3), True), ((64, 64, 3), False)]
)
def test_a_model_file_that_takes_no_crops_is_refused(tmp_path, shape, pooled):
    config = model_file(tmp_path / "m.keras", shape, pooled=pooled)
    with pytest.raises(ExtractionError, match="expected a model from square RGB crops"):
        ImageNetwork(config, seed=0)
