"""Extract features from raw clips with the extraction settings of a trained model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pydantic

from pipeline.config.extraction import ExtractionConfig
from pipeline.core.errors import ExtractionError, ModelError
from pipeline.data.encoder import CROPS_OPTIONS, VIDEOS_OPTION, recordings_options
from pipeline.extraction.run import DEFAULT_WORKERS, FAILURES_NAME, extract_features

_FEATURES_NAME: Final = "features"


@dataclass(frozen=True, kw_only=True, slots=True)
class RawClips:
    """Raw clips: videos, or face crops with optical flow."""

    videos_dir: Path | None = None
    face_dir: Path | None = None
    """Directory of face crops; requires `flow_dir`."""
    flow_dir: Path | None = None
    work_dir: Path | None = None
    """Directory for the extracted features; a temporary directory by default."""
    num_workers: int | None = None
    """Number of extraction processes; None for the default of `extract`."""

    @property
    def directories(self) -> tuple[Path, ...]:
        """Directories of arrays or tables: face crops, optical flow, extracted features."""
        kept = self.work_dir and self.work_dir / _FEATURES_NAME
        return tuple(path for path in (self.face_dir, self.flow_dir, kept) if path is not None)


def check_kind(clips: RawClips, encoder: Any) -> None:
    """Check that the clips are of the same kind as the training clips: videos or crops.

    `encoder` describes the encoder of the training features.

    Raises:
        ModelError: If the kinds differ. The message contains the correct options.
    """
    given = VIDEOS_OPTION if clips.videos_dir else CROPS_OPTIONS
    expected = recordings_options(encoder)
    if expected is not None and expected != given:
        kinds = dict.fromkeys(encoder[stream]["of"] for stream in ("static", "dynamic"))
        raise ModelError(
            f"The model was trained on features from {' and '.join(kinds)}, but {given} selects "
            f"another kind of clips. Give {expected}."
        )


def extract_as_trained(
    clips: RawClips, settings: Any, work_dir: Path
) -> tuple[Path, tuple[str, ...]]:
    """Extract features to `work_dir/features`, or continue a stopped extraction.

    `settings` are the extraction settings of the training features.

    Returns:
        Directory of the feature set, and the id, stage and reason of each failed extraction.

    Raises:
        PipelineError: If the settings are unknown, or no clip can be extracted.
    """
    config = _extraction_config(settings)
    try:
        outcome = extract_features(
            videos_dir=clips.videos_dir,
            face_dir=clips.face_dir,
            flow_dir=clips.flow_dir,
            features_dir=work_dir / _FEATURES_NAME,
            config=config,
            num_workers=clips.num_workers or DEFAULT_WORKERS,
        )
    except ExtractionError as error:
        # `predict` has the option --work_dir instead of --features_dir. Without --work_dir, the
        # list of failures is deleted with the temporary directory.
        message = str(error).replace("--features_dir", "--work_dir")
        if clips.work_dir is None:
            lost = f"{work_dir / _FEATURES_NAME / FAILURES_NAME} lists all of them."
            message = message.replace(lost, "Give --work_dir to keep the list of all failures.")
        raise ExtractionError(message) from error
    failures = (f"{clip.clip_id}: {clip.stage}: {clip.reason}" for clip in outcome.failed)
    return outcome.features_dir, tuple(failures)


def _extraction_config(settings: Any) -> ExtractionConfig:
    """Return stored extraction settings as a configuration."""
    if not settings:
        raise ModelError(
            "The extraction settings of the training features are unknown, so features cannot be "
            "extracted. Extract the features as for training, and give --features_dir."
        )
    try:
        return pydantic.TypeAdapter(ExtractionConfig).validate_python(settings)
    except pydantic.ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise ModelError(
            "The extraction settings of the model are not valid in this version "
            f"({place}: {fault['msg']}). Use the version that trained the model, or give "
            "--features_dir."
        ) from error
