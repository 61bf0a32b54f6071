import keras
import numpy as np
import pytest

from pipeline.core.errors import ModelError
from pipeline.models.encoders import build_encoder


@pytest.fixture
def backbone(tmp_path):
    """A saved model from images of any size to vectors, with its own preprocessing."""
    layers = [
        keras.Input((None, None, 3)),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(4, 3),
        keras.layers.GlobalAveragePooling2D(),
    ]
    model = keras.Sequential(layers, name="backbone")
    model.save(tmp_path / "backbone.keras")
    return tmp_path / "backbone.keras", model


def test_a_new_encoder_is_trainable():
    encoder = build_encoder("conv", (16, 16, 3), name="static_encoder")
    assert encoder(np.zeros((2, 16, 16, 3), np.float32)).shape == (2, 64)
    assert len(encoder.trainable_weights) == 6
    assert encoder.name == "static_encoder"


def test_a_loaded_encoder_keeps_its_weights_and_is_frozen(backbone):
    path, model = backbone
    encoder = build_encoder(str(path), (16, 16, 3), name="static_encoder")
    images = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    np.testing.assert_array_equal(encoder(images), model(images))
    assert encoder.trainable_weights == []
    assert encoder.name == "static_encoder"


def test_an_encoder_for_other_images_is_an_error(backbone):
    path, _ = backbone
    with pytest.raises(ModelError, match=r"\(16, 16, 2\)"):
        build_encoder(str(path), (16, 16, 2), name="dynamic_encoder")


def test_an_encoder_without_vector_output_is_an_error(tmp_path):
    path = tmp_path / "maps.keras"
    keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3)]).save(path)
    with pytest.raises(ModelError, match="pooling='avg'"):
        build_encoder(str(path), (16, 16, 3), name="static_encoder")
