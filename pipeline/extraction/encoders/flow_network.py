"""A convolutional network as the encoder of flow: the motion half of two streams.

A stack of L flow fields is seen as an image of 2L channels. Weights learned on RGB serve
after a change of the first layer: its kernels are averaged over RGB and copied to each of
the 2L channels.

Reference: Simonyan & Zisserman, 2014 (arXiv:1406.2199), stacked flow; Wang et al., 2016
    (arXiv:1608.00859), section 3.2, cross-modality pre-training.

Shape letters: T steps, L flow fields of a step, P side of a field, D width.
"""

import warnings
from typing import Any, Final

import keras
import numpy as np

from pipeline.config.extraction import DynamicConfig
from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ConfigError, ExtractionError
from pipeline.extraction.encoders.backbone import (
    RANDOM,
    Backbone,
    build_network,
    find_backbone,
    is_file,
    load_network,
)
from pipeline.extraction.encoders.image_network import run_batches

FASTEST: Final = 4.0
"""Speed, in face widths a second, that becomes the end of the scale; faster is clipped."""


class FlowNetwork:
    """Describes stacks of flow by the pooled features of a network.

    Args:
        config: Which network, which weights, how many fields a step.
        crop_px: Side of the fields.
        seed: Seed of random weights.

    Raises:
        ConfigError: If there is no such network, or it takes nothing but RGB.
        ExtractionError: If its weights cannot be had, or a model file does not take flow.
    """

    def __init__(self, config: DynamicConfig, *, crop_px: int, seed: int) -> None:
        self._encoder = config.encoder
        channels = 2 * config.num_pairs
        if is_file(config.encoder):
            self._network, self._weights = load_network(config.weights)
            _check_input(self._network, (crop_px, crop_px, channels), config.weights)
            self._end_of_scale = 1.0
        else:
            backbone = find_backbone(config.encoder)
            self._end_of_scale = _end_of_scale(backbone)
            self._network, self._weights = _adapted(
                backbone, config.weights, (crop_px, crop_px, channels), seed=seed
            )

    @property
    def width(self) -> int:
        """The number of features D."""
        return int(self._network.output_shape[-1])

    def describe(self) -> dict[str, Any]:
        """Return what decides the values."""
        return {"encoder": self._encoder, "weights": self._weights, "fastest": FASTEST}

    def __call__(self, speeds: FloatArray) -> FloatArray:
        """Return the features of flow (T, L, P, P, 2) in face widths a second, shape (T, D)."""
        steps, pairs, height, width, _ = speeds.shape
        stacked = np.moveaxis(speeds, 1, 3).reshape(steps, height, width, 2 * pairs)
        scaled = np.clip(stacked / FASTEST, -1.0, 1.0) * self._end_of_scale
        return run_batches(self._network, scaled.astype(np.float32))


def _end_of_scale(backbone: Backbone) -> float:
    """Return half of the range of a network's inputs: the scale that its weights know.

    Raises:
        ConfigError: If the network prepares RGB inside of itself.
    """
    ends = backbone.prepare(np.array([[[[0.0] * 3]], [[[255.0] * 3]]], dtype=np.float32))
    half = float(np.mean(ends[1] - ends[0]) / 2)
    if np.allclose(ends[1], 255.0):
        raise ConfigError(
            f"dynamic.encoder={backbone.name} prepares RGB inside of the network and cannot take "
            f"flow. Use one that does not, for instance resnet50 or mobilenetv2."
        )
    return half


def _adapted(
    backbone: Backbone, weights: str, shape: tuple[int, int, int], *, seed: int
) -> tuple[Any, str]:
    """Return a network for flow with the weights of one for RGB, its first layer averaged."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This model usually expects 1 or 3 input")
        for_flow, described = build_network(backbone, weights=RANDOM, input_shape=shape, seed=seed)
    if weights == RANDOM:
        return for_flow, described
    for_rgb, described = build_network(
        backbone, weights=weights, input_shape=(*shape[:2], 3), seed=seed
    )
    adapted = [
        _averaged(theirs, ours.shape) if theirs.shape != ours.shape else theirs
        for theirs, ours in zip(for_rgb.get_weights(), for_flow.get_weights(), strict=True)
    ]
    for_flow.set_weights(adapted)
    return for_flow, f"{described}, first layer averaged over RGB"


def _averaged(kernel: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return a kernel over RGB as one over flow: the mean over its inputs, copied."""
    return np.broadcast_to(kernel.mean(axis=-2, keepdims=True), shape).copy()


def _check_input(network: keras.Model, shape: tuple[int, int, int], path: str) -> None:
    given, output = network.input_shape, network.output_shape
    fits = isinstance(given, tuple) and len(given) == 4 and len(output) == 2
    if not fits or any(a not in (None, b) for a, b in zip(given[1:], shape, strict=True)):
        raise ExtractionError(
            f"{path}: takes {given} and gives {output}, expected a model from flow "
            f"{(None, *shape)}, in [-1, 1], to vectors (None, D). See faces.crop_px and "
            f"dynamic.num_pairs."
        )
