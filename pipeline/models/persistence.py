"""Save a model as what the suffix says, and load it again.

A model file may come from anywhere. Keras' safe mode keeps it from running code; here its
sizes are bounded before anything is unpacked, and whatever fails ends in one line.
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

_MOST_CONFIG_BYTES: Final = 2**26
"""Largest description of a model; that of a ResNet-152 has 0.6 MB."""

_MOST_EXPANSION: Final = 20
"""How many times larger than its archive a model may be; Keras itself does not compress."""


def save_model(model: keras.Model, path: Path) -> None:
    """Save `model` to `path`: whole or not at all, in the format that the suffix names.

    Args:
        model: A built model.
        path: Ends with `.keras`, `.h5` or `.weights.h5`; missing directories are made.

    Raises:
        ModelError: If no model can be saved to `path`.
    """
    check_model_path(path)
    with atomic_path(path) as temporary:
        if model_suffix(path) == WEIGHTS:
            model.save_weights(temporary)
        else:
            with _without_format_advice():
                # Keras cannot read back the losses that it writes to `.h5` beside an optimizer.
                _in_storable_order(model, path).save(temporary, include_optimizer=False)


def load_model(path: Path) -> keras.Model:
    """Load a whole model from a `.keras` or `.h5` file.

    It comes back uncompiled: ready to predict, and to be compiled for more training. A file
    of weights is loaded into a model that fits: `model.load_weights(path)`.

    Raises:
        ModelError: If there is no such file, or it does not hold a whole model.
    """
    if model_suffix(path) == WEIGHTS:
        raise ModelError(
            f"{path}: holds weights without a model; build the model as it was trained and call "
            "model.load_weights(path), or save it as .keras."
        )
    if not path.is_file():
        raise ModelError(
            f"{path}: there is no such file; train a model first, or check the path."
            f"{did_you_mean_path(path)}"
        )
    with _one_line_errors(path, cure="Save it again, or fetch the file anew."):
        if path.suffix == ".keras":
            _check_archive(path)
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def load_architecture(path: Path) -> keras.Model:
    """Build the model, with new weights, that a JSON description by Keras names.

    Raises:
        ModelError: If there is no such file, or it does not describe a model.
    """
    import pipeline.models.end_to_end  # noqa: F401 (registers the models with Keras)

    with _one_line_errors(path, cure="Restore it from a backup, or start a new run."):
        if path.stat().st_size > _MOST_CONFIG_BYTES:
            raise ValueError(f"it is larger than {_MOST_CONFIG_BYTES // 2**20} MiB")
        network = keras.saving.deserialize_keras_object(read_object(path), safe_mode=True)
        if not isinstance(network, keras.Model):
            raise TypeError(f"it describes a {type(network).__name__}")
        return network


@contextlib.contextmanager
def _one_line_errors(path: Path, *, cure: str) -> Iterator[None]:
    try:
        yield
    # Keras runs what a file describes, so a hostile or damaged file can raise anything.
    except Exception as error:
        reason = first_line(error).removeprefix(f"{path}: ").removesuffix(".")
        raise ModelError(
            f"{path}: does not hold a model that can be loaded ({reason}). {cure}"
        ) from error


def _check_archive(path: Path) -> None:
    """Check the sizes, the names and the checksums of a `.keras` file.

    Raises:
        ValueError: If it would unpack to too much, leads out of its directory, or is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for member in members:
            is_description = member.filename.endswith(".json")
            if is_description and member.file_size > _MOST_CONFIG_BYTES:
                raise ValueError(f"{member.filename} unpacks to {member.file_size} bytes")
            name = PurePosixPath(member.filename.replace("\\", "/"))
            if name.is_absolute() or ".." in name.parts:
                raise ValueError(f"{member.filename!r} leads out of the archive")
        size = sum(member.file_size for member in members)
        if size > _MOST_EXPANSION * path.stat().st_size + _MOST_CONFIG_BYTES:
            raise ValueError(f"it unpacks to {size} bytes")
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} does not fit its checksum")


def _in_storable_order(model: keras.Model, path: Path) -> keras.Model:
    """Return `model`, or a copy with nothing frozen where `.h5` would mix up its weights.

    The older format writes what is trainable in a layer before what is frozen, but does not
    say which is which: a layer that is frozen in part would come back with weights swapped.
    """
    if model_suffix(path) != ".h5" or not any(map(_is_reordered, model.layers)):
        return model
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def _is_reordered(layer: keras.layers.Layer) -> bool:
    stored = [*layer.trainable_weights, *layer.non_trainable_weights]
    return any(a is not b for a, b in zip(stored, layer.weights, strict=True))


@contextlib.contextmanager
def _without_format_advice() -> Iterator[None]:
    """Keep Keras from advising against `.h5`, which the user has chosen."""

    def is_other(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("You are saving your model as an HDF5 file")

    logger = logging.getLogger("absl")
    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)
