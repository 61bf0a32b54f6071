"""Settings of the feature extraction, with unit, default and range.

`ExtractionConfig` describes an extraction file. `pipeline.config.loading` reads such files.
"""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from annotated_types import Interval

from pipeline.config.checks import Section
from pipeline.core.errors import ConfigError

HOG = "hog"
RECTIFIED_FLOW = "rectified_flow"
KERAS_FILE = "keras_file"


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingConfig(Section):
    """Sampling of frames from a clip."""

    section: ClassVar[str] = "sampling"

    num_steps: Annotated[int, Interval(ge=1)] = 16
    """Time points per clip: the centres of equal parts of its duration."""
    pair_seconds: Annotated[float, Interval(gt=0)] = 1 / 30
    """Time between the two frames of a flow pair, in seconds; the nearest frame is used.

    A pair of frames much further apart shows no motion and is masked.
    """
    min_coverage: Annotated[float, Interval(ge=0.0, le=1.0)] = 0.5
    """Smallest share of the stated duration, and of the sampled frames, that must be readable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FacesConfig(Section):
    """Face detection and cropping."""

    section: ClassVar[str] = "faces"

    detect_px: Annotated[int, Interval(ge=48)] = 240
    """Longer side of the frames for the detector, in pixels; it finds faces from 20 px."""
    min_confidence: Annotated[float, Interval(ge=0.0, le=1.0)] = 0.9
    """Lowest confidence of a detection, in [0, 1]."""
    min_share: Annotated[float, Interval(ge=0.0, le=1.0)] = 0.25
    """Smallest share of steps that must show the face; otherwise the clip fails."""
    crop_px: Annotated[int, Interval(ge=32)] = 112
    """Side of the aligned square crop, in pixels; a multiple of 16."""

    def _check(self) -> None:
        if self.crop_px % 16:
            raise ConfigError(
                f"faces.crop_px must be a multiple of 16 (a grid of 8 x 8 cells); got "
                f"{self.crop_px}. The nearest is {max(32, round(self.crop_px / 16) * 16)}."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class StaticConfig(Section):
    """Encoder of the static stream: the appearance of the face, one vector per step."""

    section: ClassVar[str] = "static"

    encoder: str = HOG
    """`hog`, a network of `keras.applications` (module or class name), or `keras_file`."""
    weights: str = ""
    """`imagenet`, `random`, or the path of a weights file (of a model for `keras_file`)."""
    image_px: Annotated[int, Interval(ge=32)] = 224
    """Side of the input crops of a network, in pixels."""
    dim: Annotated[int, Interval(ge=0)] = 512
    """Width of the vectors; wider vectors are projected. 0 keeps the width of the encoder."""

    def _check(self) -> None:
        _check_encoder("static", self.encoder, HOG, self.weights)


@dataclass(frozen=True, kw_only=True, slots=True)
class DynamicConfig(Section):
    """Encoder of the dynamic stream: the motion of the face, one vector per step."""

    section: ClassVar[str] = "dynamic"

    encoder: str = RECTIFIED_FLOW
    """`rectified_flow`, a network of `keras.applications`, or `keras_file`."""
    weights: str = ""
    """Same values as `static.weights`; RGB weights are adapted to flow (Wang et al., 2016)."""
    num_pairs: Annotated[int, Interval(ge=1)] = 1
    """Flow fields L per step; a network has 2L input channels (L = 10 is usual)."""
    dim: Annotated[int, Interval(ge=0)] = 256
    """Width of the vectors; wider vectors are projected. 0 keeps the width of the encoder."""

    def _check(self) -> None:
        _check_encoder("dynamic", self.encoder, RECTIFIED_FLOW, self.weights)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectionConfig(Section):
    """Random projection of wide vectors to fewer dimensions."""

    section: ClassVar[str] = "projection"

    method: str = "gaussian"
    """`gaussian`: seeded random numbers (Johnson & Lindenstrauss, 1984), no fit to data."""
    seed: Annotated[int, Interval(ge=0)] = 0
    """Seed of the projection, and of networks with `weights: random`."""

    def _check(self) -> None:
        if self.method != "gaussian":
            reason = " A PCA would be fitted on all clips, including held-out clips."
            raise ConfigError(
                f"projection.method must be gaussian; got {self.method!r}."
                f"{reason if self.method == 'pca' else ''}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractionConfig(Section):
    """All settings of one extraction."""

    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """Sampling of frames."""
    faces: FacesConfig = field(default_factory=FacesConfig)
    """Face detection and cropping."""
    static: StaticConfig = field(default_factory=StaticConfig)
    """Encoder of the static stream."""
    dynamic: DynamicConfig = field(default_factory=DynamicConfig)
    """Encoder of the dynamic stream."""
    projection: ProjectionConfig = field(default_factory=ProjectionConfig)
    """Projection to fewer dimensions."""
    time_limit_seconds: Annotated[float, Interval(gt=0)] = 120.0
    """Time limit per clip, in seconds; it does not change the features."""
    num_shown: Annotated[int, Interval(ge=0)] = 4
    """Clips on the contact sheet; it does not change the features."""


def is_network(config: ExtractionConfig) -> bool:
    """Return whether a stream uses a network, which needs Keras and weights."""
    return (config.static.encoder, config.dynamic.encoder) != (HOG, RECTIFIED_FLOW)


def _check_encoder(section: str, encoder: str, descriptor: str, weights: str) -> None:
    if encoder == descriptor and weights:
        raise ConfigError(
            f"{section}.weights must be empty for {section}.encoder={descriptor}, which has none; "
            f"got {weights!r}."
        )
    if encoder != descriptor and not weights:
        raise ConfigError(
            f"{section}.weights must be given for {section}.encoder={encoder}: imagenet, the path "
            f"of a weights file, or random (random features are of little use)."
        )
