"""Networks are found by name; weights that cannot be had are an error, never random ones."""

import keras
import numpy as np
import pytest

from pipeline.core.errors import ConfigError, ExtractionError
from pipeline.extraction.encoders import backbone as backbone_module
from pipeline.extraction.encoders.backbone import (
    Backbone,
    build_network,
    find_backbone,
    load_network,
    weights_digest,
)

SHAPE = (32, 32, 3)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mobile():
    return find_backbone("MobileNet")


@pytest.fixture(scope="module")
def weights(mobile, tmp_path_factory):
    network, _ = build_network(mobile, weights="random", input_shape=SHAPE, seed=3)
    path = tmp_path_factory.mktemp("weights") / "mobile.weights.h5"
    network.save_weights(path)
    return path


@pytest.mark.parametrize(
    "name", ["resnet50", "ResNet50", "efficientnetv2b0", "vgg16", "MobileNetV2"]
)
def test_a_network_is_found_in_any_case(name):
    assert find_backbone(name).name.lower() == name.lower()


def test_an_unknown_network_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean resnet50"):
        find_backbone("resnet500")


def test_weights_of_a_file_are_those_that_were_saved(mobile, weights):
    network, described = build_network(mobile, weights=str(weights), input_shape=SHAPE, seed=0)
    saved, _ = build_network(mobile, weights="random", input_shape=SHAPE, seed=3)
    assert weights_digest(network) == weights_digest(saved)
    assert described.startswith("sha256 ")
    assert "random" not in described


def test_random_weights_say_so_and_are_the_same_each_time(mobile):
    first, described = build_network(mobile, weights="random", input_shape=SHAPE, seed=5)
    second, _ = build_network(mobile, weights="random", input_shape=SHAPE, seed=5)
    other, _ = build_network(mobile, weights="random", input_shape=SHAPE, seed=6)
    assert described == "random, seed 5"
    assert weights_digest(first) == weights_digest(second) != weights_digest(other)


def test_a_file_that_is_not_there_is_an_error(mobile):
    with pytest.raises(ExtractionError, match="no such weights file"):
        build_network(mobile, weights="none.weights.h5", input_shape=SHAPE, seed=0)


def test_weights_of_another_network_are_an_error(weights):
    with pytest.raises(ExtractionError, match="does not hold the weights of VGG16"):
        build_network(find_backbone("vgg16"), weights=str(weights), input_shape=SHAPE, seed=0)


def test_a_file_that_is_cut_is_an_error(mobile, weights, tmp_path):
    path = tmp_path / "cut.weights.h5"
    path.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ExtractionError, match="does not hold the weights of MobileNet"):
        build_network(mobile, weights=str(path), input_shape=SHAPE, seed=0)


def test_weights_that_cannot_be_fetched_are_an_error_with_the_cure():
    def fail(**options):
        assert options["weights"] == "imagenet"
        raise Exception("URL fetch failure: name resolution")  # noqa: TRY002 - as Keras does

    offline = Backbone(name="ResNet50", build=fail, prepare=np.asarray)
    with pytest.raises(ExtractionError, match=r"cannot be had .*name resolution.*give their path"):
        build_network(offline, weights="imagenet", input_shape=SHAPE, seed=0)


def test_a_model_file_is_loaded(tmp_path):
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    model.save(tmp_path / "m.keras")
    network, described = load_network(str(tmp_path / "m.keras"))
    assert network.output_shape == (None, 3)
    assert described.startswith("sha256 ")


def test_a_model_file_that_would_run_code_is_refused(tmp_path):
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Lambda(lambda x: x[:, 0, 0])(inputs)
    keras.Model(inputs, outputs).save(tmp_path / "m.keras")
    with pytest.raises(ExtractionError, match="no Keras model that loads"):
        load_network(str(tmp_path / "m.keras"))


@pytest.mark.parametrize("content", [None, b"", b"text"])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "m.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ExtractionError, match=r"m\.keras: (is no Keras model|there is no such)"):
        load_network(str(path))


def test_only_files_are_files():
    assert backbone_module.is_file("keras_file")
    assert not backbone_module.is_file("resnet50")
