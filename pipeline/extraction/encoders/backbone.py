"""Load networks from `keras.applications` and from Keras model files, and hash their weights.

If weights are missing, an error is raised. Random weights are used only for `weights: random`.
"""

import hashlib
import types
from collections.abc import Callable
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
    """A network architecture from `keras.applications`."""

    name: str
    """Class name, e.g. "ResNet50"."""
    build: Callable[..., Any]
    prepare: Callable[[Any], Any]
    """Function from RGB images in [0, 255] to network inputs."""


def find_backbone(name: str) -> Backbone:
    """Find a network in `keras.applications` by class name. Upper and lower case are equal.

    Raises:
        ConfigError: If there is no such network.
    """
    known = {
        known_name.lower(): Backbone(name=known_name, build=build, prepare=module.preprocess_input)
        for module in vars(keras.applications).values()
        if isinstance(module, types.ModuleType) and hasattr(module, "preprocess_input")
        for known_name, build in vars(module).items()
        if callable(build) and known_name[0].isupper()
    }
    if name.lower() in known:
        return known[name.lower()]
    nearest = nearest_name(name, known, cutoff=0.4)
    hint = f"Did you mean {nearest}?" if nearest else f"Known networks: {', '.join(sorted(known))}."
    raise ConfigError(f"encoder {name!r} is not a network in keras.applications. {hint}")


def build_network(
    backbone: Backbone, *, weights: str, input_shape: tuple[int, int, int], seed: int
) -> tuple[Any, str]:
    """Build a network with average pooling instead of a classifier, and describe its weights.

    `weights` is `imagenet`, `random`, or the path of a weights file. `input_shape` contains
    height, width and number of channels.

    Raises:
        ExtractionError: If the weights are not available or do not fit the network.
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
    except Exception as error:  # Keras raises a plain Exception if a download fails
        if weights == IMAGENET:
            raise ExtractionError(
                f"the ImageNet weights of {backbone.name} cannot be downloaded "
                f"({_short_line(error)}). Download the weights on another machine and give their "
                f"path, or use an encoder without weights (hog, rectified_flow)."
            ) from error
        raise ExtractionError(
            f"{weights}: does not contain the weights of {backbone.name} without classifier "
            f"({_short_line(error)}). Give another file."
        ) from error
    # Two files can contain equal weights, so the values are hashed instead of the file.
    return network, f"sha256 {hash_weights(network)}"


def load_network(path: str) -> tuple[Any, str]:
    """Load a Keras model file; return the network and a description of the weights.

    Raises:
        ExtractionError: If the file is missing, is not a Keras model, or contains code.
    """
    if not Path(path).is_file():
        near = did_you_mean_path(Path(path))
        raise ExtractionError(
            f"{path}: there is no such model file. Check the setting `weights`.{near}"
        )
    try:
        network = load_model(Path(path))
    except ModelError as error:
        reason = _short_line(error)
        message = f"{path}: cannot be loaded as a Keras model ({reason}). Give another file."
        raise ExtractionError(message) from error
    return network, f"sha256 {file_hash(Path(path))} of the file"


def hash_weights(network: Any) -> str:
    """Return the SHA-256 of the values of all weights."""
    digest = hashlib.sha256()
    for values in network.get_weights():
        digest.update(values.tobytes())
    return digest.hexdigest()


def _short_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 160 else f"{text[:157]}..."
