"""Networks of `keras.applications`, and Keras model files: found, loaded, and identified.

Random weights are never taken for trained ones: without `weights: random` a network whose
weights cannot be had is an error.
"""

import difflib
import hashlib
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras

from pipeline.config.extraction import KERAS_FILE
from pipeline.core.errors import ConfigError, ExtractionError, ModelError
from pipeline.core.files import file_hash
from pipeline.core.near_names import did_you_mean_path
from pipeline.models.persistence import load_model

IMAGENET: Final = "imagenet"
RANDOM: Final = "random"


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A family of networks that share how their input is prepared."""

    name: str
    """Its class name, e.g. "ResNet50"."""
    build: Callable[..., Any]
    """Makes the network."""
    prepare: Callable[[Any], Any]
    """Turns RGB in [0, 255] into what the network expects."""


def find_backbone(name: str) -> Backbone:
    """Return a network of `keras.applications` by its class name, in any case.

    Raises:
        ConfigError: If there is none of that name; the nearest one is given.
    """
    known = {backbone.name.lower(): backbone for backbone in _backbones()}
    if name.lower() in known:
        return known[name.lower()]
    nearest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(sorted(known))}."
    raise ConfigError(f"encoder {name!r} is no network of keras.applications; {hint}")


def build_network(
    backbone: Backbone, *, weights: str, input_shape: tuple[int, int, int], seed: int
) -> tuple[Any, str]:
    """Return a network without its classifier, pooled by averaging, and what its weights are.

    Args:
        backbone: Which.
        weights: `imagenet`, `random`, or the path of a weights file.
        input_shape: Height, width, channels.
        seed: Seed of random weights.

    Raises:
        ExtractionError: If the weights cannot be had, or do not fit.
    """
    options = {"include_top": False, "pooling": "avg", "input_shape": input_shape}
    if weights == RANDOM:
        keras.utils.set_random_seed(seed)
        return backbone.build(weights=None, **options), f"{RANDOM}, seed {seed}"
    if weights != IMAGENET and not Path(weights).is_file():
        raise ExtractionError(
            f"{weights}: there is no such weights file. Give a path that exists, or imagenet, "
            f"or an encoder without weights (hog, rectified_flow)."
        )
    try:
        network = backbone.build(weights=weights, **options)
    except Exception as error:  # Keras raises a bare Exception where a download fails
        if weights == IMAGENET:
            raise ExtractionError(
                f"the ImageNet weights of {backbone.name} cannot be had ({_line(error)}). Fetch "
                f"them where there is a network and give their path as weights, or use an "
                f"encoder without weights (hog, rectified_flow)."
            ) from error
        raise ExtractionError(
            f"{weights}: does not hold the weights of {backbone.name} without its classifier "
            f"({_line(error)})."
        ) from error
    # Of the values, not of the file: equal weights are equal however they came here.
    return network, f"sha256 {weights_digest(network)}"


def load_network(path: str) -> tuple[Any, str]:
    """Return the network of a Keras model file, and what its weights are.

    Raises:
        ExtractionError: If the file is missing, or is no Keras model, or would run code.
    """
    if not Path(path).is_file():
        near = did_you_mean_path(Path(path))
        raise ExtractionError(
            f"{path}: there is no such model file, which weights must name.{near}"
        )
    try:
        network = load_model(Path(path))
    except ModelError as error:
        raise ExtractionError(f"{path}: is no Keras model that loads ({_line(error)}).") from error
    return network, f"sha256 {file_hash(Path(path))} of the file"


def weights_digest(network: Any) -> str:
    """Return a SHA-256 of the values of all weights."""
    digest = hashlib.sha256()
    for values in network.get_weights():
        digest.update(values.tobytes())
    return digest.hexdigest()


def is_file(encoder: str) -> bool:
    """Return whether an encoder is a model file."""
    return encoder == KERAS_FILE


def _backbones() -> Iterator[Backbone]:
    for module in vars(keras.applications).values():
        if not isinstance(module, types.ModuleType) or not hasattr(module, "preprocess_input"):
            continue
        for name, build in vars(module).items():
            if callable(build) and name[0].isupper():
                yield Backbone(name=name, build=build, prepare=module.preprocess_input)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 160 else f"{text[:157]}..."
