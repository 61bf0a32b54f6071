"""Settings of the feature extraction, with units, defaults and ranges.

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
    """Sampling of frames from clips."""

    section: ClassVar[str] = "sampling"

    num_steps: Annotated[int, Interval(ge=1)] = 16
    """Number of time points per clip. They are the centres of equal parts of the duration."""
    pair_seconds: Annotated[float, Interval(gt=0)] = 1 / 30
    """Time between the two frames of a flow pair, in seconds.

    The frames of a pair are chosen so that the time between them is as close to this value as
    possible. Pairs with a much longer time between their frames are masked.
    """
    min_coverage: Annotated[float, Interval(ge=0.0, le=1.0)] = 0.5
    """Minimum share of the stated duration that the readable frames cover, in [0, 1].

    The same value is the minimum share of readable frames among the sampled frames.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class FacesConfig(Section):
    """Face detection and cropping."""

    section: ClassVar[str] = "faces"

    detect_px: Annotated[int, Interval(ge=48)] = 240
    """Longer side of the frames for face detection, in pixels.

    In the frames of this size, a face must have at least 20 px.
    """
    min_confidence: Annotated[float, Interval(ge=0.0, le=1.0)] = 0.9
    """Minimum confidence of a detection, in [0, 1]."""
    min_share: Annotated[float, Interval(ge=0.0, le=1.0)] = 0.25
    """Minimum share of steps with a detected face. Clips with a smaller share fail."""
    crop_px: Annotated[int, Interval(ge=32)] = 112
    """Side length of the aligned square crops, in pixels; a multiple of 16."""

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
    """`hog`, a network from `keras.applications` (module or class name), or `keras_file`."""
    weights: str = ""
    """`imagenet`, `random`, or the path of a weights file.

    For `keras_file`, this setting is the path of a model file.
    """
    image_px: Annotated[int, Interval(ge=32)] = 224
    """Side length of the input images of a network, in pixels."""
    dim: Annotated[int, Interval(ge=0)] = 512
    """Maximum dimension of the vectors; larger vectors are projected. 0: no limit."""

    def _check(self) -> None:
        _check_encoder("static", self.encoder, HOG, self.weights)


@dataclass(frozen=True, kw_only=True, slots=True)
class DynamicConfig(Section):
    """Encoder of the dynamic stream: the motion of the face, one vector per step."""

    section: ClassVar[str] = "dynamic"

    encoder: str = RECTIFIED_FLOW
    """`rectified_flow`, a network from `keras.applications`, or `keras_file`."""
    weights: str = ""
    """Same values as `static.weights`; RGB weights are adapted to flow (Wang et al., 2016)."""
    num_pairs: Annotated[int, Interval(ge=1)] = 1
    """Number L of flow fields per step. A network has 2L input channels; L = 10 is usual."""
    dim: Annotated[int, Interval(ge=0)] = 256
    """Maximum dimension of the vectors; larger vectors are projected. 0: no limit."""

    def _check(self) -> None:
        _check_encoder("dynamic", self.encoder, RECTIFIED_FLOW, self.weights)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectionConfig(Section):
    """Random projection of feature vectors to fewer dimensions."""

    section: ClassVar[str] = "projection"

    method: str = "gaussian"
    """`gaussian`: random projection (Johnson & Lindenstrauss, 1984). It is not fitted to data."""
    seed: Annotated[int, Interval(ge=0)] = 0
    """Seed of the projection and of random network weights."""

    def _check(self) -> None:
        if self.method != "gaussian":
            reason = " A PCA would be fitted on all clips, including test clips."
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
    """Time limit per clip, in seconds. The limit does not change the features."""
    num_shown: Annotated[int, Interval(ge=0)] = 4
    """Number of clips on the contact sheet. The number does not change the features."""


def uses_network(config: ExtractionConfig) -> bool:
    """Return True if at least one of the two encoders is a network, which needs Keras."""
    return (config.static.encoder, config.dynamic.encoder) != (HOG, RECTIFIED_FLOW)


def _check_encoder(section: str, encoder: str, descriptor: str, weights: str) -> None:
    if encoder == descriptor and weights:
        raise ConfigError(
            f"{section}.weights must be empty for {section}.encoder={descriptor}, because this "
            f"encoder has no weights; got {weights!r}."
        )
    if encoder != descriptor and not weights:
        raise ConfigError(
            f"{section}.weights must be given for {section}.encoder={encoder}. Give imagenet, the "
            "path of a weights file, or random (random weights give features of little use)."
        )
