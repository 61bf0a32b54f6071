"""Image encoders for face crops and optical flow.

Shapes: B batch, H height, W width, C channels, F features.
"""

from pathlib import Path
from typing import Final

import keras

from pipeline.core.errors import ModelError
from pipeline.models.persistence import load_model
from pipeline.models.standardize import Standardize

CONV: Final = "conv"
"""Kind of encoder: a small new convolutional network that is trained with the model."""

STANDARDIZE: Final = "standardize"
"""Name of the layer that contains the image statistics of a `conv` encoder."""

_WIDTHS: Final = (16, 32, 64)


def build_encoder(kind: str, image_shape: tuple[int, int, int], *, name: str) -> keras.Model:
    """Return a model from images (B, H, W, C) to vectors (B, F).

    The kind `conv` gives a new, trainable encoder. Any other kind is the path of a `.keras` file.
    An encoder from a file is frozen and must contain its preprocessing. The returned model gets the
    name `name`, which is a part of the paths of its layers.

    Raises:
        ModelError: If the kind is unknown, or the encoder has the wrong input or output shape.
    """
    if kind == CONV:
        layers = keras.layers
        convolutions = [
            layers.Conv2D(width, 3, strides=2, padding="same", activation="relu", name=f"conv_{i}")
            for i, width in enumerate(_WIDTHS, start=1)
        ]
        standardize = Standardize(name=STANDARDIZE, dtype="float32")
        mean = layers.GlobalAveragePooling2D(name="mean")
        inputs = keras.Input(image_shape)
        return keras.Sequential([inputs, standardize, *convolutions, mean], name=name)
    if not kind.endswith(".keras"):
        raise ModelError(
            f"model.{name} must be {CONV!r} or the path of a .keras file that maps images of "
            f"shape {image_shape} to vectors, but is {kind!r}."
        )
    encoder = load_model(Path(kind))
    found, output = tuple(encoder.input_shape[1:]), tuple(encoder.output_shape[1:])
    fits = all(size in (None, wanted) for size, wanted in zip(found, image_shape, strict=False))
    if len(found) != 3 or not fits or len(output) != 1:
        raise ModelError(
            f"{kind}: maps {found} to {output}, but the images have the shape {image_shape} and "
            "the output must be a vector, shape (features,). Save a model with these shapes, "
            "e.g. with pooling='avg'."
        )
    encoder.name = name
    encoder.trainable = False
    return encoder
