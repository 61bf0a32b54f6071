"""Save and load models as `.keras`, `.h5` or `.weights.h5`.

A model file can come from an untrusted source. The safe mode of Keras blocks code in the file. This
module also limits the unpacked size. Every failure raises an error with a one-line message.
"""

import contextlib
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import keras

from pipeline.core.errors import ModelError, first_line
from pipeline.core.files import atomic_path, read_object
from pipeline.core.model_path import WEIGHTS, check_model_path, model_suffix
from pipeline.core.near_names import did_you_mean_path

_MAX_CONFIG_BYTES: Final = 2**26
"""Maximum size of a model description. The description of a ResNet-152 has 0.6 MB."""

_MAX_EXPANSION: Final = 20
"""Maximum ratio of unpacked size to file size. For files from Keras, it is about 1."""


def save_model(model: keras.Model, path: Path) -> None:
    """Save a built model atomically, in the format that the file suffix specifies.

    Raises:
        ModelError: If the suffix is not `.keras`, `.h5` or `.weights.h5`, or the path is not
            writable.
    """
    check_model_path(path)
    with atomic_path(path) as temporary:
        if model_suffix(path) == WEIGHTS:
            model.save_weights(temporary)
        else:
            with _without_format_advice():
                # With an optimizer, Keras would also save losses, some of which it cannot load.
                _in_storable_order(model, path).save(temporary, include_optimizer=False)


def load_model(path: Path) -> keras.Model:
    """Load a whole model, uncompiled, from a `.keras` or `.h5` file.

    To load a file that contains only weights, build a model with the same architecture and call its
    method `load_weights(path)`.

    Raises:
        ModelError: If the file is missing or is not a whole model.
    """
    if model_suffix(path) == WEIGHTS:
        raise ModelError(
            f"{path}: contains weights without a model. Build the model as for training and call "
            "model.load_weights(path), or save the model as .keras."
        )
    if not path.is_file():
        raise ModelError(
            f"{path}: there is no such file; train a model first, or check the path."
            f"{did_you_mean_path(path)}"
        )
    with _one_line_errors(path, fix="Save it again, or get a new copy of the file."):
        if path.suffix == ".keras":
            _check_archive(path)
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def load_architecture(path: Path) -> keras.Model:
    """Build a model from its JSON description in the Keras format, with new initial weights.

    Raises:
        ModelError: If the file is missing or does not describe a model.
    """
    with _one_line_errors(path, fix="Restore it from a backup, or start a new run."):
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise ValueError(f"it is larger than {_MAX_CONFIG_BYTES // 2**20} MiB")
        network = keras.saving.deserialize_keras_object(read_object(path), safe_mode=True)
        if not isinstance(network, keras.Model):
            raise TypeError(f"it describes a {type(network).__name__}")
        return network


@contextlib.contextmanager
def _one_line_errors(path: Path, *, fix: str) -> Iterator[None]:
    try:
        yield
    # Keras builds all objects that the file describes, so a bad file can cause any exception.
    except Exception as error:
        reason = first_line(error).removeprefix(f"{path}: ").removesuffix(".")
        raise ModelError(f"{path}: is not a model that can be loaded ({reason}). {fix}") from error


def _check_archive(path: Path) -> None:
    """Raise a ValueError if a size, name or checksum in a `.keras` file is wrong."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for member in members:
            is_description = member.filename.endswith(".json")
            if is_description and member.file_size > _MAX_CONFIG_BYTES:
                raise ValueError(f"{member.filename} unpacks to {member.file_size} bytes")
            name = PurePosixPath(member.filename.replace("\\", "/"))
            if name.is_absolute() or ".." in name.parts:
                raise ValueError(f"{member.filename!r} leads out of the archive")
        size = sum(member.file_size for member in members)
        if size > _MAX_EXPANSION * path.stat().st_size + _MAX_CONFIG_BYTES:
            raise ValueError(f"it unpacks to {size} bytes")
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} does not match its checksum")


def _in_storable_order(model: keras.Model, path: Path) -> keras.Model:
    """Return `model`, or an unfrozen copy if the `.h5` format would swap weights.

    For `.h5`, Keras saves the trainable weights of a layer before the frozen weights, but loads all
    weights in the original order. Therefore weights of a partly frozen layer would be swapped.
    """
    if model_suffix(path) != ".h5":
        return model
    is_reordered = any(
        [*map(id, layer.trainable_weights), *map(id, layer.non_trainable_weights)]
        != [*map(id, layer.weights)]
        for layer in model.layers
    )
    if not is_reordered:
        return model
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


@contextlib.contextmanager
def _without_format_advice() -> Iterator[None]:
    """Suppress the Keras warning about the `.h5` format, because the user chose this format."""

    def is_other(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("You are saving your model as an HDF5 file")

    logger = logging.getLogger("absl")
    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)
