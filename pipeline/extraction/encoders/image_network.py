"""A convolutional network as the encoder of face crops.

Shape letters: T steps, P side of a crop, D width.
"""

from typing import Any, Final

import keras
import numpy as np

from pipeline.config.extraction import StaticConfig
from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ExtractionError
from pipeline.extraction.encoders.backbone import (
    build_network,
    find_backbone,
    is_file,
    load_network,
)
from pipeline.extraction.video.images import Picture

_BATCH: Final = 16


class ImageNetwork:
    """Describes RGB crops by the pooled features of a network.

    Args:
        config: Which network, and which weights.
        seed: Seed of random weights.

    Raises:
        ConfigError: If there is no such network.
        ExtractionError: If its weights cannot be had, or a model file does not take crops.
    """

    wants_colour: Final = True

    def __init__(self, config: StaticConfig, *, seed: int) -> None:
        self._encoder = config.encoder
        if is_file(config.encoder):
            self._network, self._weights = load_network(config.weights)
            self.crop_px = _side(self._network, config)
            self._prepare: Any = np.asarray
        else:
            backbone = find_backbone(config.encoder)
            self.crop_px = config.image_px
            shape = (config.image_px, config.image_px, 3)
            self._network, self._weights = build_network(
                backbone, weights=config.weights, input_shape=shape, seed=seed
            )
            self._prepare = backbone.prepare

    @property
    def width(self) -> int:
        """The number of features D."""
        return int(self._network.output_shape[-1])

    def describe(self) -> dict[str, Any]:
        """Return what decides the values."""
        return {"encoder": self._encoder, "weights": self._weights, "image_px": self.crop_px}

    def __call__(self, crops: Picture) -> FloatArray:
        """Return the features of RGB crops (T, P, P, 3), shape (T, D)."""
        return run_batches(self._network, self._prepare(crops.astype(np.float32)))


def run_batches(network: Any, inputs: FloatArray) -> FloatArray:
    """Return what a network makes of inputs (T, ...), shape (T, D), some steps at a time."""
    outputs = [
        np.asarray(network.predict_on_batch(inputs[start : start + _BATCH]))
        for start in range(0, len(inputs), _BATCH)
    ]
    return np.concatenate(outputs).astype(np.float32)


def _side(network: keras.Model, config: StaticConfig) -> int:
    shape, output = network.input_shape, network.output_shape
    is_image = isinstance(shape, tuple) and len(shape) == 4 and shape[3] == 3
    if not is_image or shape[1] != shape[2] or not isinstance(output, tuple) or len(output) != 2:
        raise ExtractionError(
            f"{config.weights}: takes {shape} and gives {output}, expected a model from square "
            f"RGB crops (None, P, P, 3) in [0, 255] to vectors (None, D)."
        )
    return int(shape[1] or config.image_px)
