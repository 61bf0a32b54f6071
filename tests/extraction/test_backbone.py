"""Networks are found by name, and missing weights are an error."""

import numpy as np
import pytest

from pipeline.core.errors import ConfigError, ExtractionError
from pipeline.extraction.encoders.backbone import (
    Backbone,
    build_network,
    find_backbone,
    hash_weights,
    load_network,
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
def test_a_network_is_found_regardless_of_case(name):
    assert find_backbone(name).name.lower() == name.lower()


def test_an_unknown_network_is_an_error_with_the_nearest_name():
    with pytest.raises(ConfigError, match="Did you mean resnet50"):
        find_backbone("resnet500")


def test_weights_are_loaded_from_a_file(mobile, weights):
    network, described = build_network(mobile, weights=str(weights), input_shape=SHAPE, seed=0)
    saved, _ = build_network(mobile, weights="random", input_shape=SHAPE, seed=3)
    assert hash_weights(network) == hash_weights(saved)
    assert described == f"sha256 {hash_weights(saved)}"


def test_random_weights_depend_only_on_the_seed(mobile):
    first, described = build_network(mobile, weights="random", input_shape=SHAPE, seed=5)
    second, _ = build_network(mobile, weights="random", input_shape=SHAPE, seed=5)
    other, _ = build_network(mobile, weights="random", input_shape=SHAPE, seed=6)
    assert described == "random, seed 5"
    assert hash_weights(first) == hash_weights(second) != hash_weights(other)


def test_weights_that_do_not_fit_are_an_error(mobile, weights, tmp_path):
    cut = tmp_path / "cut.weights.h5"
    cut.write_bytes(weights.read_bytes()[:5000])
    for backbone, path, message in (
        (mobile, "none.weights.h5", "no such weights file"),
        (find_backbone("vgg16"), weights, "does not contain the weights of VGG16"),
        (mobile, cut, "does not contain the weights of MobileNet"),
    ):
        with pytest.raises(ExtractionError, match=message):
            build_network(backbone, weights=str(path), input_shape=SHAPE, seed=0)


def test_a_failed_download_is_an_error_with_a_fix():
    def fail(**options):
        assert options["weights"] == "imagenet"
        raise Exception("URL fetch failure: name resolution")  # noqa: TRY002 - as Keras does

    offline = Backbone(name="ResNet50", build=fail, prepare=np.asarray)
    with pytest.raises(ExtractionError, match=r"ResNet50 .*name resolution.*give their path"):
        build_network(offline, weights="imagenet", input_shape=SHAPE, seed=0)


@pytest.mark.parametrize("content", [None, b"", b"text"])
def test_a_file_that_is_not_a_model_is_an_error(tmp_path, content):
    path = tmp_path / "m.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ExtractionError, match=r"m\.keras: (cannot be loaded|there is no such)"):
        load_network(str(path))
