"""Convolutional networks as encoders for face crops and optical flow.

The input of a flow network is an image with 2L channels: a stack of L flow fields. If the weights
were trained on RGB images, the kernels of the first layer are averaged over the RGB channels. The
mean kernel is then used for each flow channel.

Reference: Simonyan & Zisserman, 2014 (arXiv:1406.2199), stacked flow; Wang et al., 2016
    (arXiv:1608.00859), section 3.2, cross-modality pre-training.

Shape letters: T time steps, L flow fields per time step, P side of a crop, D feature width.
"""

import warnings
from typing import Any, Final

import keras
import numpy as np

from pipeline.config.extraction import KERAS_FILE, DynamicConfig, StaticConfig
from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ConfigError, ExtractionError
from pipeline.extraction.encoders.backbone import (
    RANDOM,
    Backbone,
    build_network,
    find_backbone,
    load_network,
)
from pipeline.extraction.video.images import Image

_BATCH: Final = 16
MAX_SPEED: Final = 4.0
"""Maximum speed in the network input, in face widths per second. Higher speeds are clipped."""


class ImageNetwork:
    """Encoder that applies a network with pooled output to RGB crops.

    `seed` determines randomly initialized weights; it has no effect on loaded weights.
    """

    uses_colour: Final = True

    def __init__(self, config: StaticConfig, *, seed: int) -> None:
        self._encoder = config.encoder
        if config.encoder == KERAS_FILE:
            self._network, self._weights = load_network(config.weights)
            self.crop_px = _crop_side(self._network, config)
            self._prepare: Any = np.asarray
        else:
            backbone = find_backbone(config.encoder)
            self.crop_px = config.image_px
            shape = (config.image_px, config.image_px, 3)
            self._network, self._weights = build_network(
                backbone, weights=config.weights, input_shape=shape, seed=seed
            )
            self._prepare = backbone.prepare
        self.width = int(self._network.output_shape[-1])

    def describe(self) -> dict[str, Any]:
        """Return the settings that determine the features."""
        return {"encoder": self._encoder, "weights": self._weights, "image_px": self.crop_px}

    def __call__(self, crops: Image) -> FloatArray:
        """Return features, shape (T, D), for RGB crops, shape (T, P, P, 3)."""
        return _run_batches(self._network, self._prepare(crops.astype(np.float32)))


class FlowNetwork:
    """Encoder that applies a network with pooled output to stacks of flow fields."""

    def __init__(self, config: DynamicConfig, *, crop_px: int, seed: int) -> None:
        self._encoder = config.encoder
        shape = (crop_px, crop_px, 2 * config.num_pairs)
        if config.encoder == KERAS_FILE:
            self._network, self._weights = load_network(config.weights)
            _check_flow_model(self._network, shape, config.weights)
            self._input_scale = 1.0
        else:
            backbone = find_backbone(config.encoder)
            self._input_scale = _input_scale(backbone)
            self._network, self._weights = _build_for_flow(
                backbone, config.weights, shape, seed=seed
            )
        self.width = int(self._network.output_shape[-1])

    def describe(self) -> dict[str, Any]:
        """Return the settings that determine the features."""
        return {"encoder": self._encoder, "weights": self._weights, "fastest": MAX_SPEED}

    def __call__(self, speeds: FloatArray) -> FloatArray:
        """Return features (T, D) for flow (T, L, P, P, 2) in face widths per second."""
        steps, pairs, height, width, _ = speeds.shape
        stacked = np.moveaxis(speeds, 1, 3).reshape(steps, height, width, 2 * pairs)
        scaled = np.clip(stacked / MAX_SPEED, -1.0, 1.0) * self._input_scale
        return _run_batches(self._network, scaled.astype(np.float32))


def _run_batches(network: Any, inputs: FloatArray) -> FloatArray:
    outputs = [
        np.asarray(network.predict_on_batch(inputs[start : start + _BATCH]))
        for start in range(0, len(inputs), _BATCH)
    ]
    return np.concatenate(outputs).astype(np.float32)


def _crop_side(network: keras.Model, config: StaticConfig) -> int:
    shape, output = network.input_shape, network.output_shape
    is_image = isinstance(shape, tuple) and len(shape) == 4 and shape[3] == 3
    if not is_image or shape[1] != shape[2] or not isinstance(output, tuple) or len(output) != 2:
        raise ExtractionError(
            f"{config.weights}: must be a model from square RGB crops (None, P, P, 3) in [0, 255] "
            f"to vectors (None, D), but has input {shape} and output {output}."
        )
    return int(shape[1] or config.image_px)


def _input_scale(backbone: Backbone) -> float:
    ends = backbone.prepare(np.array([[[[0.0] * 3]], [[[255.0] * 3]]], dtype=np.float32))
    if np.allclose(ends[1], 255.0):
        raise ConfigError(
            f"dynamic.encoder={backbone.name} scales RGB inside the network, so flow is not a "
            "valid input. Use another network, for example resnet50 or mobilenetv2."
        )
    return float(np.mean(ends[1] - ends[0]) / 2)


def _build_for_flow(
    backbone: Backbone, weights: str, shape: tuple[int, int, int], *, seed: int
) -> tuple[Any, str]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This model usually expects 1 or 3 input")
        for_flow, described = build_network(backbone, weights=RANDOM, input_shape=shape, seed=seed)
    if weights == RANDOM:
        return for_flow, described
    for_rgb, described = build_network(
        backbone, weights=weights, input_shape=(*shape[:2], 3), seed=seed
    )
    pairs = zip(for_rgb.get_weights(), for_flow.get_weights(), strict=True)
    adapted = [
        rgb
        if rgb.shape == flow.shape
        else np.broadcast_to(rgb.mean(axis=-2, keepdims=True), flow.shape)
        for rgb, flow in pairs
    ]
    for_flow.set_weights(adapted)
    return for_flow, f"{described}, first layer averaged over RGB"


def _check_flow_model(network: keras.Model, shape: tuple[int, int, int], path: str) -> None:
    given, output = network.input_shape, network.output_shape
    fits = isinstance(given, tuple) and len(given) == 4 and len(output) == 2
    if not fits or any(a not in (None, b) for a, b in zip(given[1:], shape, strict=True)):
        raise ExtractionError(
            f"{path}: must be a model from flow {(None, *shape)} in [-1, 1] to vectors (None, D), "
            f"but has input {given} and output {output}. Check faces.crop_px and dynamic.num_pairs."
        )
