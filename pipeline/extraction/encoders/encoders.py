"""Encoders turn crops, or flow, into one vector a step; a configuration chooses them.

Shape letters: T steps, L flow fields of a step, P side of a crop, D width.
"""

from typing import Any, Protocol

from pipeline.config.extraction import (
    HOG,
    RECTIFIED_FLOW,
    ExtractionConfig,
    ProjectionConfig,
)
from pipeline.core.arrays import FloatArray
from pipeline.extraction.encoders.descriptors import HogEncoder, RectifiedFlowEncoder
from pipeline.extraction.encoders.projection import gaussian_projection
from pipeline.extraction.video.images import Picture


class Encoder(Protocol):
    """Describes each step by one vector."""

    @property
    def width(self) -> int:
        """The number of features D."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what decides the values, as plain values: equal for equal encoders."""
        ...

    def __call__(self, steps: Any, /) -> FloatArray:
        """Return float32 vectors, shape (T, D).

        Args:
            steps: Crops, uint8, (T, P, P) or (T, P, P, 3), of a static encoder; flow in face
                widths a second, (T, L, P, P, 2), of a dynamic one.
        """
        ...


class StaticEncoder(Encoder, Protocol):
    """Describes what a face looks like."""

    crop_px: int
    """Side of the crops P that it wants."""

    @property
    def wants_colour(self) -> bool:
        """Whether it wants RGB crops, or grey ones."""
        ...


class Projected:
    """A dynamic or static encoder whose vectors are made narrower by fixed draws."""

    def __init__(self, encoder: Encoder, *, dim: int, seed: int) -> None:
        self._encoder = encoder
        self._seed = seed
        self._matrix = gaussian_projection(encoder.width, dim, seed=seed)
        self.crop_px: int = getattr(encoder, "crop_px", 0)
        self.wants_colour: bool = getattr(encoder, "wants_colour", False)

    @property
    def width(self) -> int:
        """The number of features."""
        return int(self._matrix.shape[1])

    def describe(self) -> dict[str, Any]:
        """Return what decides the values."""
        made = {"method": "gaussian", "dim": self.width, "seed": self._seed}
        return {**self._encoder.describe(), "projection": made}

    def __call__(self, steps: Picture | FloatArray) -> FloatArray:
        """Return the narrower vectors."""
        return self._encoder(steps) @ self._matrix


def build_static_encoder(config: ExtractionConfig) -> StaticEncoder:
    """Return the encoder of crops that a configuration names.

    Raises:
        ConfigError: If there is no such encoder.
        ExtractionError: If its weights cannot be had.
    """
    if config.static.encoder == HOG:
        encoder: StaticEncoder = HogEncoder(crop_px=config.faces.crop_px)
    else:
        from pipeline.extraction.encoders.image_network import ImageNetwork

        encoder = ImageNetwork(config.static, seed=config.projection.seed)
    return _fitted(encoder, config.static.dim, config.projection)


def build_dynamic_encoder(config: ExtractionConfig) -> Encoder:
    """Return the encoder of flow that a configuration names.

    Raises:
        ConfigError: If there is no such encoder.
        ExtractionError: If its weights cannot be had.
    """
    if config.dynamic.encoder == RECTIFIED_FLOW:
        encoder: Encoder = RectifiedFlowEncoder()
    else:
        from pipeline.extraction.encoders.flow_network import FlowNetwork

        encoder = FlowNetwork(
            config.dynamic, crop_px=config.faces.crop_px, seed=config.projection.seed
        )
    return _fitted(encoder, config.dynamic.dim, config.projection)


def _fitted(encoder: Any, dim: int, projection: ProjectionConfig) -> Any:
    if dim in (0, encoder.width):
        return encoder
    return Projected(encoder, dim=dim, seed=projection.seed)
