"""Load networks of `keras.applications` and Keras model files, and hash their weights.

Random weights are used only for `weights: random`. Missing weights are an error.
"""

import hashlib
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras

from pipeline.core.errors import ConfigError, ExtractionError, ModelError
from pipeline.core.files import file_hash
from pipeline.core.near_names import did_you_mean_path, nearest_name
from pipeline.models.persistence import load_model

IMAGENET: Final = "imagenet"
RANDOM: Final = "random"


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A network architecture of `keras.applications`."""

    name: str
    """Class name, e.g. "ResNet50"."""
    build: Callable[..., Any]
    prepare: Callable[[Any], Any]
    """Function from RGB in [0, 255] to the input of the network."""


def find_backbone(name: str) -> Backbone:
    """Return a network of `keras.applications` by its class name, ignoring case.

    Raises:
        ConfigError: If there is no such network. The message has the nearest name.
    """
    known = {backbone.name.lower(): backbone for backbone in _backbones()}
    if name.lower() in known:
        return known[name.lower()]
    nearest = nearest_name(name, known, cutoff=0.4)
    hint = f"did you mean {nearest}?" if nearest else f"there are {', '.join(sorted(known))}."
    raise ConfigError(f"encoder {name!r} is no network of keras.applications; {hint}")


def build_network(
    backbone: Backbone, *, weights: str, input_shape: tuple[int, int, int], seed: int
) -> tuple[Any, str]:
    """Build a network with average pooling instead of its classifier, and describe its weights.

    `weights` is `imagenet`, `random`, or the path of a weights file. `input_shape` is height,
    width and channels.

    Raises:
        ExtractionError: If the weights are not available or do not fit.
    """
    options = {"include_top": False, "pooling": "avg", "input_shape": input_shape}
    if weights == RANDOM:
        keras.utils.set_random_seed(seed)
        return backbone.build(weights=None, **options), f"{RANDOM}, seed {seed}"
    if weights != IMAGENET and not Path(weights).is_file():
        raise ExtractionError(
            f"{weights}: there is no such weights file. Give another path, or imagenet, or an "
            "encoder without weights (hog, rectified_flow)."
        )
    try:
        network = backbone.build(weights=weights, **options)
    except Exception as error:  # Keras raises a bare Exception if a download fails
        if weights == IMAGENET:
            raise ExtractionError(
                f"the ImageNet weights of {backbone.name} cannot be downloaded "
                f"({_short_line(error)}). Download them on another machine and give their path "
                f"as weights, or use an encoder without weights (hog, rectified_flow)."
            ) from error
        raise ExtractionError(
            f"{weights}: does not contain the weights of {backbone.name} without its classifier "
            f"({_short_line(error)})."
        ) from error
    # Hash of the values, not of the file, so that equal weights from two files are equal.
    return network, f"sha256 {hash_weights(network)}"


def load_network(path: str) -> tuple[Any, str]:
    """Load a Keras model file; return the network and a description of its weights.

    Raises:
        ExtractionError: If the file is missing, is not a Keras model, or would run code.
    """
    if not Path(path).is_file():
        near = did_you_mean_path(Path(path))
        raise ExtractionError(f"{path}: there is no such model file, set as weights.{near}")
    try:
        network = load_model(Path(path))
    except ModelError as error:
        reason = _short_line(error)
        raise ExtractionError(f"{path}: is no Keras model that loads ({reason}).") from error
    return network, f"sha256 {file_hash(Path(path))} of the file"


def hash_weights(network: Any) -> str:
    """Return the SHA-256 of the values of all weights."""
    digest = hashlib.sha256()
    for values in network.get_weights():
        digest.update(values.tobytes())
    return digest.hexdigest()


def _backbones() -> Iterator[Backbone]:
    for module in vars(keras.applications).values():
        if not isinstance(module, types.ModuleType) or not hasattr(module, "preprocess_input"):
            continue
        for name, build in vars(module).items():
            if callable(build) and name[0].isupper():
                yield Backbone(name=name, build=build, prepare=module.preprocess_input)


def _short_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 160 else f"{text[:157]}..."
