"""Build the encoders of a configuration. Each encoder returns one vector per step.

Shape letters: T steps, L flow fields per step, P side of a crop, D = width, d = dim.
"""

import math
from typing import Any, Protocol

import numpy as np

from pipeline.config.extraction import HOG, RECTIFIED_FLOW, ExtractionConfig, ProjectionConfig
from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ConfigError
from pipeline.core.seeds import generator
from pipeline.extraction.encoders.descriptors import HogEncoder, RectifiedFlowEncoder


class Encoder(Protocol):
    """Encoder from each step to one vector.

    Static encoders need uint8 crops, shape (T, P, P) or (T, P, P, 3). Dynamic encoders need flow
    in face widths per second, shape (T, L, P, P, 2).
    """

    @property
    def width(self) -> int:
        """Number of features D."""

    def describe(self) -> dict[str, Any]:
        """Return the settings that determine the values, as plain values."""

    def __call__(self, steps: Any, /) -> FloatArray:
        """Return float32 vectors, shape (T, D)."""


class StaticEncoder(Encoder, Protocol):
    """Encoder of the appearance of a face."""

    crop_px: int
    """Side of its input crops P."""

    @property
    def uses_colour(self) -> bool:
        """Whether its input is RGB or grey."""


class ProjectedEncoder:
    """Encoder with a random projection to fewer features."""

    def __init__(self, encoder: Encoder, *, dim: int, seed: int) -> None:
        self._encoder = encoder
        self._seed = seed
        self._matrix = gaussian_projection(encoder.width, dim, seed=seed)
        self.width = dim
        self.crop_px: int = getattr(encoder, "crop_px", 0)
        self.uses_colour: bool = getattr(encoder, "uses_colour", False)

    def describe(self) -> dict[str, Any]:
        """Return the settings that determine the values."""
        projection = {"method": "gaussian", "dim": self.width, "seed": self._seed}
        return {**self._encoder.describe(), "projection": projection}

    def __call__(self, steps: Any) -> FloatArray:
        """Return the projected vectors, shape (T, d)."""
        return self._encoder(steps) @ self._matrix


def build_static_encoder(config: ExtractionConfig) -> StaticEncoder:
    """Build the encoder of face crops.

    Raises:
        ConfigError: If there is no such encoder.
        ExtractionError: If its weights are not available, or a model file does not fit.
    """
    if config.static.encoder == HOG:
        encoder: StaticEncoder = HogEncoder(crop_px=config.faces.crop_px)
    else:
        from pipeline.extraction.encoders.networks import ImageNetwork

        encoder = ImageNetwork(config.static, seed=config.projection.seed)
    return _project(encoder, config.static.dim, config.projection)


def build_dynamic_encoder(config: ExtractionConfig) -> Encoder:
    """Build the encoder of optical flow.

    Raises:
        ConfigError: If there is no such encoder, or it accepts only RGB.
        ExtractionError: If its weights are not available, or a model file does not fit.
    """
    if config.dynamic.encoder == RECTIFIED_FLOW:
        encoder: Encoder = RectifiedFlowEncoder()
    else:
        from pipeline.extraction.encoders.networks import FlowNetwork

        encoder = FlowNetwork(
            config.dynamic, crop_px=config.faces.crop_px, seed=config.projection.seed
        )
    return _project(encoder, config.dynamic.dim, config.projection)


def gaussian_projection(width: int, dim: int, *, seed: int) -> FloatArray:
    """Return a random matrix that preserves distances between vectors on average.

    The matrix is not fitted to data, so it cannot leak information about held-out clips.

    Returns:
        Normal samples with variance 1 / d, shape (D, d), float32: the same on every machine.

    Raises:
        ConfigError: If the vectors are narrower than `dim`.

    Reference: Johnson & Lindenstrauss, 1984 (doi:10.1090/conm/026/737400).
    """
    if width < dim:
        raise ConfigError(
            f"the encoder's vectors are {width} wide and cannot be projected to {dim}. "
            f"Set dim to at most {width}, or to 0 to keep the width."
        )
    samples = generator(seed, f"projection {width} to {dim}").standard_normal((width, dim))
    return np.asarray(samples / math.sqrt(dim), dtype=np.float32)


def _project(encoder: Any, dim: int, projection: ProjectionConfig) -> Any:
    if dim in (0, encoder.width):
        return encoder
    return ProjectedEncoder(encoder, dim=dim, seed=projection.seed)
