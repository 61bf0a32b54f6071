"""A network for images sees stacks of flow, with its first layer averaged over RGB."""

import keras
import numpy as np
import pytest

from pipeline.config.extraction import DynamicConfig
from pipeline.core.errors import ConfigError, ExtractionError
from pipeline.extraction.encoders.backbone import build_network, find_backbone
from pipeline.extraction.encoders.flow_network import FASTEST, FlowNetwork

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Stands in for weights that were learned on RGB."""
    backbone = find_backbone("mobilenet")
    network, _ = build_network(backbone, weights="random", input_shape=(32, 32, 3), seed=9)
    path = tmp_path_factory.mktemp("w") / "m.weights.h5"
    network.save_weights(path)
    return network, path


@pytest.fixture(scope="module")
def encoder(trained):
    config = DynamicConfig(encoder="mobilenet", weights=str(trained[1]), num_pairs=5)
    return FlowNetwork(config, crop_px=32, seed=0)


def test_a_step_is_a_stack_of_two_channels_a_pair(encoder):
    assert encoder._network.input_shape == (None, 32, 32, 10)
    speeds = np.random.default_rng(0).normal(size=(3, 5, 32, 32, 2)).astype(np.float32)
    assert encoder(speeds).shape == (3, encoder.width) == (3, 1024)


def test_the_first_layer_is_the_mean_over_rgb_and_the_others_are_as_learned(encoder, trained):
    theirs, ours = trained[0].get_weights(), encoder._network.get_weights()
    for channel in range(10):
        np.testing.assert_allclose(ours[0][:, :, channel], theirs[0].mean(axis=2), atol=1e-7)
    assert all(np.array_equal(a, b) for a, b in zip(theirs[1:], ours[1:], strict=True))


def test_channels_are_right_and_down_of_the_first_pair_then_of_the_next(tmp_path):
    inputs = keras.Input((8, 8, 4))
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)).save(tmp_path / "m.keras")
    config = DynamicConfig(
        encoder="keras_file", weights=str(tmp_path / "m.keras"), num_pairs=2, dim=0
    )
    speeds = np.zeros((1, 2, 8, 8, 2), dtype=np.float32)
    speeds[0, 0] = (FASTEST / 4, -FASTEST / 2)
    speeds[0, 1] = (9 * FASTEST, 0)
    seen = FlowNetwork(config, crop_px=8, seed=0)(speeds)
    np.testing.assert_allclose(seen, [[0.25, -0.5, 1.0, 0.0]], atol=1e-6)


def test_speeds_fill_the_scale_that_the_network_knows():
    half = {"mobilenet": 1.0, "resnet50": 127.5}
    for name, expected in half.items():
        config = DynamicConfig(encoder=name, weights="random")
        assert FlowNetwork(config, crop_px=32, seed=0)._end_of_scale == pytest.approx(expected)


def test_a_network_that_prepares_rgb_itself_is_refused():
    config = DynamicConfig(encoder="efficientnetv2b0", weights="random")
    with pytest.raises(ConfigError, match="prepares RGB inside of the network"):
        FlowNetwork(config, crop_px=32, seed=0)


def test_the_description_says_what_became_of_the_weights(encoder):
    described = encoder.describe()
    assert described["weights"].startswith("sha256 ")
    assert described["weights"].endswith("first layer averaged over RGB")
    assert described["fastest"] == FASTEST


def test_random_weights_are_said():
    config = DynamicConfig(encoder="mobilenet", weights="random")
    assert "random" in FlowNetwork(config, crop_px=32, seed=1).describe()["weights"]


def test_a_model_file_for_other_stacks_is_refused(tmp_path):
    inputs = keras.Input((8, 8, 4))
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)).save(tmp_path / "m.keras")
    config = DynamicConfig(encoder="keras_file", weights=str(tmp_path / "m.keras"), num_pairs=3)
    with pytest.raises(ExtractionError, match=r"expected a model from flow \(None, 8, 8, 6\)"):
        FlowNetwork(config, crop_px=8, seed=0)
