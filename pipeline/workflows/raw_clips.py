"""From recordings to the features that a model was trained on: the same settings, unasked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pydantic

from pipeline.config.extraction import ExtractionConfig
from pipeline.core.errors import ExtractionError, ModelError
from pipeline.data.encoder import CROPS_OPTIONS, VIDEOS_OPTION, recordings_options
from pipeline.extraction.run import DEFAULT_WORKERS, FAILURES_NAME, extract_features

FEATURES_NAME: Final = "features"
"""The directory of the features within that which a user gives for them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recordings:
    """Clips as videos, or as face crops with optical flow."""

    videos_dir: Path | None = None
    """Directory of videos; or else"""
    face_dir: Path | None = None
    """directory of face crops, with"""
    flow_dir: Path | None = None
    """the directory of their optical flow."""
    work_dir: Path | None = None
    """Where the features are kept; in a temporary directory unless given."""
    num_workers: int | None = None
    """Processes that extract; as many as `extract` takes unless given."""

    @property
    def directories(self) -> tuple[Path, ...]:
        """Where there are arrays and tables: crops, flow, and the features that are kept."""
        kept = self.work_dir and self.work_dir / FEATURES_NAME
        return tuple(path for path in (self.face_dir, self.flow_dir, kept) if path is not None)


def refuse_other_recordings(recordings: Recordings, encoder: Any) -> None:
    """Refuse videos for a model of given crops and flow, and the reverse, before they are read.

    Args:
        recordings: The clips.
        encoder: Encoder of the features that the model was trained on.

    Raises:
        ModelError: Naming the options that fit.
    """
    given = VIDEOS_OPTION if recordings.videos_dir else CROPS_OPTIONS
    fitting = recordings_options(encoder)
    if fitting is not None and fitting != given:
        kinds = dict.fromkeys(encoder[stream]["of"] for stream in ("static", "dynamic"))
        raise ModelError(
            f"The model was trained on features of {' and '.join(kinds)}, which {given} does not "
            f"give. Give {fitting}."
        )


def extract_as_trained(
    recordings: Recordings, settings: Any, work_dir: Path
) -> tuple[Path, tuple[str, ...]]:
    """Extract features with the settings that travel with a model.

    Args:
        recordings: The clips.
        settings: Settings that the features of the model's training were extracted with.
        work_dir: Where the feature set goes, into its `features/`; an extraction that was
            stopped there is gone on with.

    Returns:
        The feature set, and the clips that failed, each with its reason.

    Raises:
        PipelineError: If the model does not say how, or nothing can be extracted.
    """
    config = extraction_config(settings)
    try:
        outcome = extract_features(
            videos_dir=recordings.videos_dir,
            face_dir=recordings.face_dir,
            flow_dir=recordings.flow_dir,
            features_dir=work_dir / FEATURES_NAME,
            config=config,
            num_workers=recordings.num_workers or DEFAULT_WORKERS,
        )
    except ExtractionError as error:
        # Here the directory of the features follows from another option, or is gone in a moment.
        message = str(error).replace("--features_dir", "--work_dir")
        if recordings.work_dir is None:
            lost = f"{work_dir / FEATURES_NAME / FAILURES_NAME} lists all of them."
            message = message.replace(lost, "Give --work_dir to keep the list of all of them.")
        raise ExtractionError(message) from error
    failures = (f"{clip.clip_id}: {clip.stage}: {clip.reason}" for clip in outcome.failed)
    return outcome.features_dir, tuple(failures)


def extraction_config(settings: Any) -> ExtractionConfig:
    """Return the configuration that makes features as the model's were made.

    Raises:
        ModelError: If the settings are not known, or not those of this version.
    """
    if not settings:
        raise ModelError(
            "The model was trained on features that do not say how they were extracted, so the "
            "same cannot be done with recordings. Make features of them as those were made, and "
            "give --features_dir."
        )
    try:
        return pydantic.TypeAdapter(ExtractionConfig).validate_python(settings)
    except pydantic.ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise ModelError(
            f"The model's features were extracted with settings that this version does not know "
            f"({place}: {fault['msg']}). Use the version that trained it, or give --features_dir."
        ) from error
