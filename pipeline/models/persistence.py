"""Save a model as what the suffix says, and load it again."""

import contextlib
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras

from pipeline.core.errors import ModelError
from pipeline.core.files import atomic_path
from pipeline.core.model_path import WEIGHTS, check_model_path, model_suffix


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
        raise ModelError(f"{path}: there is no such file; train a model first, or check the path.")
    try:
        # Safe mode is Keras' default; said here, as a model may come from anywhere.
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{path}: does not hold a model that can be loaded ({reason}). "
            "Save it again, or fetch the file anew."
        ) from error


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
