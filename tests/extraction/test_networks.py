"""Networks encode RGB crops and stacks of flow."""

import keras
import numpy as np
import pytest

from pipeline.config.extraction import DynamicConfig, StaticConfig
from pipeline.core.errors import ConfigError, ExtractionError
from pipeline.extraction.encoders.backbone import build_network, find_backbone
from pipeline.extraction.encoders.networks import MAX_SPEED, FlowNetwork, ImageNetwork

pytestmark = pytest.mark.slow

CROPS = np.random.default_rng(0).integers(0, 256, (18, 64, 64, 3), dtype=np.uint8)


def model_file(path, shape, *, pooled=True):
    inputs = keras.Input(shape)
    pool = keras.layers.GlobalAveragePooling2D()
    keras.Model(inputs, pool(inputs) if pooled else inputs).save(path)
    return {"encoder": "keras_file", "weights": str(path)}


@pytest.fixture(scope="module")
def image_network():
    config = StaticConfig(encoder="mobilenet", weights="random", image_px=64)
    return ImageNetwork(config, seed=0)


@pytest.fixture(scope="module")
def rgb_weights(tmp_path_factory):
    """Weights of a network for RGB, and their file."""
    backbone = find_backbone("mobilenet")
    network, _ = build_network(backbone, weights="random", input_shape=(32, 32, 3), seed=9)
    path = tmp_path_factory.mktemp("w") / "m.weights.h5"
    network.save_weights(path)
    return network.get_weights(), path


@pytest.fixture(scope="module")
def flow_network(rgb_weights):
    config = DynamicConfig(encoder="mobilenet", weights=str(rgb_weights[1]), num_pairs=5)
    return FlowNetwork(config, crop_px=32, seed=0)


def test_each_crop_is_scaled_and_encoded_separately(image_network):
    expected = {"encoder": "mobilenet", "weights": "random, seed 0", "image_px": 64}
    assert image_network.describe() == expected
    features = image_network(CROPS)
    assert features.shape == (18, image_network.width) == (18, 1024)
    np.testing.assert_allclose(features[17], image_network(CROPS[17:])[0], atol=1e-5)
    prepared = keras.applications.mobilenet.preprocess_input(CROPS.astype(np.float32))
    np.testing.assert_allclose(features, image_network._network(prepared), atol=1e-4)


def test_a_model_file_gets_rgb_from_0_to_255(tmp_path):
    config = StaticConfig(**model_file(tmp_path / "m.keras", (64, 64, 3)))
    encoder = ImageNetwork(config, seed=0)
    assert encoder.crop_px == 64
    np.testing.assert_allclose(encoder(CROPS), CROPS.mean(axis=(1, 2)), rtol=1e-4)


@pytest.mark.parametrize(
    ("shape", "pooled"), [((64, 64, 1), True), ((64, 32, 3), True), ((64, 64, 3), False)]
)
def test_a_model_file_with_another_input_is_an_error(tmp_path, shape, pooled):
    config = StaticConfig(**model_file(tmp_path / "m.keras", shape, pooled=pooled))
    with pytest.raises(ExtractionError, match="must be a model from square RGB crops"):
        ImageNetwork(config, seed=0)


def test_a_flow_network_has_two_channels_per_pair(flow_network):
    assert flow_network._network.input_shape == (None, 32, 32, 10)
    speeds = np.random.default_rng(0).normal(size=(3, 5, 32, 32, 2)).astype(np.float32)
    assert flow_network(speeds).shape == (3, flow_network.width) == (3, 1024)


def test_only_the_first_layer_is_averaged_over_rgb(flow_network, rgb_weights):
    expected, found = rgb_weights[0], flow_network._network.get_weights()
    for channel in range(10):
        np.testing.assert_allclose(found[0][:, :, channel], expected[0].mean(axis=2), atol=1e-7)
    assert all(np.array_equal(a, b) for a, b in zip(expected[1:], found[1:], strict=True))
    described = flow_network.describe()
    assert described["weights"].startswith("sha256 ")
    assert described["weights"].endswith("first layer averaged over RGB")
    assert described["fastest"] == MAX_SPEED


def test_channels_are_right_and_down_of_each_pair_in_order(tmp_path):
    config = DynamicConfig(**model_file(tmp_path / "m.keras", (8, 8, 4)), num_pairs=2, dim=0)
    speeds = np.zeros((1, 2, 8, 8, 2), dtype=np.float32)
    speeds[0, 0] = (MAX_SPEED / 4, -MAX_SPEED / 2)
    speeds[0, 1] = (9 * MAX_SPEED, 0)
    features = FlowNetwork(config, crop_px=8, seed=0)(speeds)
    np.testing.assert_allclose(features, [[0.25, -0.5, 1.0, 0.0]], atol=1e-6)


@pytest.mark.parametrize(("name", "scale"), [("mobilenet", 1.0), ("resnet50", 127.5)])
def test_speeds_are_scaled_to_the_input_range(name, scale):
    network = FlowNetwork(DynamicConfig(encoder=name, weights="random"), crop_px=32, seed=1)
    assert network._input_scale == pytest.approx(scale)
    assert network.describe()["weights"] == "random, seed 1"


def test_a_flow_network_that_scales_rgb_is_an_error():
    config = DynamicConfig(encoder="efficientnetv2b0", weights="random")
    with pytest.raises(ConfigError, match="scales RGB inside the network"):
        FlowNetwork(config, crop_px=32, seed=0)


def test_a_model_file_for_another_number_of_pairs_is_an_error(tmp_path):
    config = DynamicConfig(**model_file(tmp_path / "m.keras", (8, 8, 4)), num_pairs=3)
    with pytest.raises(ExtractionError, match=r"must be a model from flow \(None, 8, 8, 6\)"):
        FlowNetwork(config, crop_px=8, seed=0)
