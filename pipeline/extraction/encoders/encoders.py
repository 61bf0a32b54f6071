"""Build the encoders for a configuration. Each encoder returns one vector per time step.

Shape letters: T time steps, L flow fields per time step, P side of a crop, D = width, d = dim.
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
    """Function from the inputs of T time steps to T vectors.

    Inputs of static encoders are uint8 crops, shape (T, P, P) or (T, P, P, 3). Inputs of dynamic
    encoders are flow fields in face widths per second, shape (T, L, P, P, 2).
    """

    @property
    def width(self) -> int:
        """Number D of features per time step."""

    def describe(self) -> dict[str, Any]:
        """Return the settings that determine the features, as plain values."""

    def __call__(self, steps: Any, /) -> FloatArray:
        """Return float32 vectors, shape (T, D)."""


class StaticEncoder(Encoder, Protocol):
    """Encoder for the appearance of a face."""

    crop_px: int
    """Side P of the input crops."""

    @property
    def uses_colour(self) -> bool:
        """True if the input crops are RGB, False if they are grey."""


class ProjectedEncoder:
    """Encoder followed by a random projection to fewer features."""

    def __init__(self, encoder: Encoder, *, dim: int, seed: int) -> None:
        self._encoder = encoder
        self._seed = seed
        self._matrix = gaussian_projection(encoder.width, dim, seed=seed)
        self.width = dim
        self.crop_px: int = getattr(encoder, "crop_px", 0)
        self.uses_colour: bool = getattr(encoder, "uses_colour", False)

    def describe(self) -> dict[str, Any]:
        """Return the settings that determine the features."""
        projection = {"method": "gaussian", "dim": self.width, "seed": self._seed}
        return {**self._encoder.describe(), "projection": projection}

    def __call__(self, steps: Any) -> FloatArray:
        """Return the projected vectors, shape (T, d)."""
        return self._encoder(steps) @ self._matrix


def build_static_encoder(config: ExtractionConfig) -> StaticEncoder:
    """Build the encoder for face crops.

    Raises:
        ConfigError: If the configured encoder does not exist.
        ExtractionError: If the weights are not available or do not belong to the encoder, or a
            model file cannot be loaded or has the wrong input or output shape.
    """
    if config.static.encoder == HOG:
        encoder: StaticEncoder = HogEncoder(crop_px=config.faces.crop_px)
    else:
        from pipeline.extraction.encoders.networks import ImageNetwork

        encoder = ImageNetwork(config.static, seed=config.projection.seed)
    return _project(encoder, config.static.dim, config.projection)


def build_dynamic_encoder(config: ExtractionConfig) -> Encoder:
    """Build the encoder for optical flow.

    Raises:
        ConfigError: If the configured encoder does not exist, or accepts only RGB.
        ExtractionError: If the weights are not available or do not belong to the encoder, or a
            model file cannot be loaded or has the wrong input or output shape.
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
    """Return a random projection matrix. On average, it preserves distances between vectors.

    The matrix is not fitted to data. Therefore it contains no information about held-out clips.

    Returns:
        Normal samples with variance 1 / d, shape (D, d), float32, identical on every machine.

    Raises:
        ConfigError: If `width` is less than `dim`.

    Reference: Johnson & Lindenstrauss, 1984 (doi:10.1090/conm/026/737400).
    """
    if width < dim:
        raise ConfigError(
            f"vectors of width {width} cannot be projected to dim={dim}. Set dim to at most "
            f"{width}, or to 0 to keep the width."
        )
    samples = generator(seed, f"projection {width} to {dim}").standard_normal((width, dim))
    return np.asarray(samples / math.sqrt(dim), dtype=np.float32)


def _project(encoder: Any, dim: int, projection: ProjectionConfig) -> Any:
    if dim in (0, encoder.width):
        return encoder
    return ProjectedEncoder(encoder, dim=dim, seed=projection.seed)
