"""Encoders of pictures, for models that begin at face crops and optical flow.

Shapes: B batch, H height, W width, C channels, D features.
"""

from pathlib import Path
from typing import Final

import keras

from pipeline.core.errors import ModelError
from pipeline.models.persistence import load_model
from pipeline.models.standardize import Standardize

CONV: Final = "conv"
"""A small network of strided convolutions with random weights, which learns with the rest."""

STANDARDIZE: Final = "standardize"
"""Layer of a `conv` encoder that holds the statistics of its pictures."""

_WIDTHS: Final = (16, 32, 64)


def build_encoder(kind: str, picture: tuple[int, int, int], *, name: str) -> keras.Model:
    """Return a model from pictures (B, H, W, C) to vectors (B, D).

    One that is loaded comes frozen; one that is drawn learns, as its weights know nothing yet.

    Args:
        kind: `conv`, or the path of a `.keras` file that holds such a model, its preprocessing
            included.
        picture: Height, width and channels.
        name: Name of the encoder, as patterns of `training.trainable` see it.

    Raises:
        ModelError: If there is no such encoder, or it does not take these pictures.
    """
    if kind == CONV:
        return _build_conv(picture, name)
    if not kind.endswith(".keras"):
        raise ModelError(
            f"model.{name}={kind!r}: expected {CONV!r} or the path of a .keras file that maps "
            f"pictures of shape {picture} to vectors."
        )
    encoder = _load_encoder(Path(kind), picture, name)
    encoder.trainable = False
    return encoder


def _build_conv(picture: tuple[int, int, int], name: str) -> keras.Model:
    """Three strided convolutions, then the mean over the picture."""
    layers: list[keras.layers.Layer] = [
        keras.Input(picture),
        Standardize(name=STANDARDIZE, dtype="float32"),
    ]
    for number, width in enumerate(_WIDTHS, start=1):
        layers.append(
            keras.layers.Conv2D(
                width, 3, strides=2, padding="same", activation="relu", name=f"conv_{number}"
            )
        )
    layers.append(keras.layers.GlobalAveragePooling2D(name="mean"))
    return keras.Sequential(layers, name=name)


def _load_encoder(path: Path, picture: tuple[int, int, int], name: str) -> keras.Model:
    encoder = load_model(path)
    taken, given = tuple(encoder.input_shape[1:]), tuple(encoder.output_shape[1:])
    fits = all(size in (None, wanted) for size, wanted in zip(taken, picture, strict=False))
    if len(taken) != 3 or not fits or len(given) != 1:
        raise ModelError(
            f"{path}: maps {taken} to {given}, but the pictures have the shape {picture} and are "
            "to become vectors, shape (features,). Save a model that does, e.g. with pooling='avg'."
        )
    encoder.name = name
    return encoder
