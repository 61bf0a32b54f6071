"""Settings of the feature extraction, with unit, default and range.

`ExtractionConfig` is the root of an extraction file, which `pipeline.config.loading` reads.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from annotated_types import Interval

from pipeline.config.checks import PYDANTIC_CONFIG, check_ranges
from pipeline.core.errors import ConfigError

HOG = "hog"
RECTIFIED_FLOW = "rectified_flow"
KERAS_FILE = "keras_file"


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingConfig:
    """Which frames of a clip are looked at."""

    __pydantic_config__: ClassVar[Any] = PYDANTIC_CONFIG

    num_steps: Annotated[int, Interval(ge=1)] = 16
    """Instants a clip, the centres of as many equal parts of its whole duration."""
    pair_seconds: Annotated[float, Interval(gt=0)] = 1 / 30
    """Time from a frame to the next one of a flow pair, in seconds; the nearest frame is taken.
    Frames much further apart show no motion: such a pair is masked."""
    min_coverage: Annotated[float, Interval(ge=0.0, le=1.0)] = 0.5
    """Least share of the stated duration, and of the wanted frames, that must be there."""

    def __post_init__(self) -> None:
        check_ranges("sampling", self)


@dataclass(frozen=True, kw_only=True, slots=True)
class FacesConfig:
    """How the face is found and cut out."""

    __pydantic_config__: ClassVar[Any] = PYDANTIC_CONFIG

    detect_px: Annotated[int, Interval(ge=48)] = 240
    """Longer side of the frames that the detector sees, in pixels; it finds faces from 20 px."""
    min_confidence: Annotated[float, Interval(ge=0.0, le=1.0)] = 0.9
    """Least confidence of a detection, in [0, 1]."""
    min_share: Annotated[float, Interval(ge=0.0, le=1.0)] = 0.25
    """Least share of the steps that must show the face, or the clip fails."""
    crop_px: Annotated[int, Interval(ge=32)] = 112
    """Side of the aligned square crop, in pixels; a multiple of 16."""

    def __post_init__(self) -> None:
        check_ranges("faces", self)
        if self.crop_px % 16:
            raise ConfigError(
                f"faces.crop_px must be a multiple of 16 (a grid of 8 x 8 cells); got "
                f"{self.crop_px}. The nearest is {max(32, round(self.crop_px / 16) * 16)}."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class StaticConfig:
    """What a face looks like: one vector a step."""

    __pydantic_config__: ClassVar[Any] = PYDANTIC_CONFIG

    encoder: str = HOG
    """`hog`, a network of `keras.applications` by its module or class name, or `keras_file`."""
    weights: str = ""
    """`imagenet`, the path of a weights file (or of the model, for `keras_file`), or `random`."""
    image_px: Annotated[int, Interval(ge=32)] = 224
    """Side of the crops that a network sees, in pixels."""
    dim: Annotated[int, Interval(ge=0)] = 512
    """Width of a vector; a wider one is projected to it. 0 keeps the encoder's own width."""

    def __post_init__(self) -> None:
        check_ranges("static", self)
        _check_encoder("static", self.encoder, HOG, self.weights)


@dataclass(frozen=True, kw_only=True, slots=True)
class DynamicConfig:
    """How a face moves: one vector a step."""

    __pydantic_config__: ClassVar[Any] = PYDANTIC_CONFIG

    encoder: str = RECTIFIED_FLOW
    """`rectified_flow`, a network of `keras.applications`, or `keras_file`."""
    weights: str = ""
    """As for `static.weights`; RGB weights are adapted to flow (Wang et al., 2016)."""
    num_pairs: Annotated[int, Interval(ge=1)] = 1
    """Flow fields L of a step; a network sees the 2L channels at once (10 is usual)."""
    dim: Annotated[int, Interval(ge=0)] = 256
    """Width of a vector; a wider one is projected to it. 0 keeps the encoder's own width."""

    def __post_init__(self) -> None:
        check_ranges("dynamic", self)
        _check_encoder("dynamic", self.encoder, RECTIFIED_FLOW, self.weights)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectionConfig:
    """How wide vectors become narrower, without looking at the data."""

    __pydantic_config__: ClassVar[Any] = PYDANTIC_CONFIG

    method: str = "gaussian"
    """`gaussian`: fixed seeded draws (Johnson & Lindenstrauss, 1984); nothing is fitted."""
    seed: Annotated[int, Interval(ge=0)] = 0
    """Seed of the draws, and of networks with `weights: random`."""

    def __post_init__(self) -> None:
        check_ranges("projection", self)
        if self.method == "pca":
            raise ConfigError(
                "projection.method must not be pca: it would be fitted on all clips, held-out "
                "ones among them. Use gaussian, or dim: 0 and reduce within the training."
            )
        if self.method != "gaussian":
            raise ConfigError(f"projection.method must be gaussian; got {self.method!r}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractionConfig:
    """One way of making features, whole."""

    __pydantic_config__: ClassVar[Any] = PYDANTIC_CONFIG

    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """Frames."""
    faces: FacesConfig = field(default_factory=FacesConfig)
    """Faces."""
    static: StaticConfig = field(default_factory=StaticConfig)
    """Static stream."""
    dynamic: DynamicConfig = field(default_factory=DynamicConfig)
    """Dynamic stream."""
    projection: ProjectionConfig = field(default_factory=ProjectionConfig)
    """Widths."""
    time_limit_seconds: Annotated[float, Interval(gt=0)] = 120.0
    """Longest that one clip may take before it is given up; does not change values."""
    num_shown: Annotated[int, Interval(ge=0)] = 4
    """Clips on the contact sheet; does not change values."""

    def __post_init__(self) -> None:
        check_ranges("", self)


def is_network(config: ExtractionConfig) -> bool:
    """Return whether a stream is made by a network, which needs Keras and weights."""
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
            f"of a weights file, or random (which makes features of little worth)."
        )
