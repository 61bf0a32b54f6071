"""Extract the features of one clip.

Shape letters: T time steps, P side of a crop, D feature width.
"""

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.extraction.contact_sheet import draw_strip
from pipeline.extraction.encoders.encoders import build_dynamic_encoder, build_static_encoder
from pipeline.extraction.observation import Observation, VideoObserver
from pipeline.extraction.precomputed import read_faces, read_flow
from pipeline.extraction.tasks import ClipError, ClipSource, Job
from pipeline.extraction.video.images import Image
from pipeline.extraction.video.sampling import MAX_PAIR_SECONDS

_SHARPNESS_PX: Final = 112
"""Side of the crops for measuring sharpness, in pixels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipFeatures:
    """Features and quality measures of one clip."""

    static: FloatArray
    """Appearance of the face, shape (T, D); 0 at time steps without a visible face."""
    static_mask: BoolArray
    """True at time steps with a visible face, shape (T,)."""
    dynamic: FloatArray
    """Motion of the face, shape (T, D); 0 at time steps without measured motion."""
    dynamic_mask: BoolArray
    """True at time steps with measured motion, shape (T,)."""
    seconds: FloatArray
    """Time of the sampled frames, shape (T,); NaN if the time is unknown or no face is visible."""
    boxes: FloatArray
    """Left, top, width and height of the face, as shares of the longer frame side, shape (T, 4)."""
    quality: dict[str, Any]
    """Column name -> value, for the quality columns of the clip table."""
    warnings: list[str]
    """Warnings about a clip that is still usable."""
    strip: Image | None
    """Strip of this clip for the contact sheet, BGR; None if it is not drawn."""


class ClipExtractor:
    """Callable that computes the features of one clip. The constructor loads the networks."""

    def __init__(self, job: Job) -> None:
        self._config = job.config
        self._static = build_static_encoder(job.config)
        self._dynamic = build_dynamic_encoder(job.config)
        self._observe: VideoObserver | None = None
        if job.decodes_videos:
            self._observe = VideoObserver(
                job.config, static_px=self._static.crop_px, with_colour=self._static.uses_colour
            )

    def __call__(self, source: ClipSource, *, with_strip: bool = False) -> ClipFeatures:
        """Return the features of one clip.

        Raises:
            ClipError: If the clip cannot be used.
        """
        num_steps = self._config.sampling.num_steps
        seconds = np.full(num_steps, np.nan)
        boxes = np.full((num_steps, 4), np.nan)
        observed = strip = None
        if self._observe is not None and source.video is not None:
            observed = self._observe(source.video)
            strip = draw_strip(source.clip_id, observed) if with_strip else None
            for number, step in enumerate(observed.steps):
                if step is not None:
                    seconds[number], boxes[number] = step.seconds, step.face.box
        static, static_mask = _pad(*self._static_steps(source, observed), num_steps)
        dynamic, dynamic_mask, motion = self._dynamic_steps(source, observed)
        dynamic, dynamic_mask = _pad(dynamic, dynamic_mask, num_steps)
        if not (static_mask.any() and dynamic_mask.any()):
            raise ClipError("decode", "has no step with features")
        return ClipFeatures(
            static=static,
            static_mask=static_mask,
            dynamic=dynamic,
            dynamic_mask=dynamic_mask,
            seconds=seconds,
            boxes=boxes,
            quality=({} if observed is None else _video_quality(observed)) | {"motion": motion},
            warnings=[] if observed is None else observed.warnings,
            strip=strip,
        )

    def _static_steps(
        self, source: ClipSource, observed: Observation | None
    ) -> tuple[FloatArray, BoolArray]:
        if source.face_dir is not None:
            crops = read_faces(
                source.face_dir,
                num_steps=self._config.sampling.num_steps,
                crop_px=self._static.crop_px,
                with_colour=self._static.uses_colour,
            )
            return self._static(crops), np.ones(len(crops), dtype=np.bool_)
        assert observed is not None  # noqa: S101 - checked in run.py
        crops = np.stack([step.static_crop for step in observed.steps if step is not None])
        return self._static(crops), np.array([step is not None for step in observed.steps])

    def _dynamic_steps(
        self, source: ClipSource, observed: Observation | None
    ) -> tuple[FloatArray, BoolArray, float]:
        if source.flow_dir is not None:
            speeds = read_flow(
                source.flow_dir,
                num_steps=self._config.sampling.num_steps,
                num_pairs=self._config.dynamic.num_pairs,
                crop_px=self._config.faces.crop_px,
                pair_seconds=self._config.sampling.pair_seconds,
            )
            return self._dynamic(speeds), np.ones(len(speeds), dtype=np.bool_), mean_speed(speeds)
        assert observed is not None  # noqa: S101 - checked in run.py
        fields = [None if step is None else step.speeds for step in observed.steps]
        measured = [field for field in fields if field is not None]
        if not measured:
            reason = "has too few frames for measuring motion"
            if observed.num_far == len(observed.steps):
                gap = f"{observed.timeline.step_seconds:.2f} s"
                reason = (
                    f"its frames must be at most {MAX_PAIR_SECONDS} s apart, but are {gap} apart"
                )
            raise ClipError("decode", reason)
        speeds = np.stack(measured)
        mask = np.array([field is not None for field in fields])
        return self._dynamic(speeds), mask, mean_speed(speeds)


def sharpness(crop: Image) -> float:
    """Return the variance of the Laplacian of a grey crop (P, P). Blurred faces have lower values.

    Reference: Pech-Pacheco et al., 2000 (doi:10.1109/ICPR.2000.903548).
    """
    if crop.shape[0] != _SHARPNESS_PX:
        crop = cv2.resize(crop, (_SHARPNESS_PX, _SHARPNESS_PX), interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(crop, cv2.CV_32F).var())


def brightness(crop: Image) -> float:
    """Return the mean of a grey crop (P, P), in [0, 1]."""
    return float(crop.mean()) / 255.0


def mean_speed(speeds: FloatArray) -> float:
    """Return the mean length of the vectors in `speeds`, shape (..., 2)."""
    return float(np.linalg.norm(speeds, axis=-1).mean())


def _pad(values: FloatArray, mask: BoolArray, num_steps: int) -> tuple[FloatArray, BoolArray]:
    padded = np.zeros((num_steps, values.shape[1]), dtype=np.float32)
    is_valid = np.zeros(num_steps, dtype=np.bool_)
    is_valid[: len(mask)] = mask
    padded[is_valid] = values
    return padded, is_valid


def _video_quality(observed: Observation) -> dict[str, Any]:
    steps = [step for step in observed.steps if step is not None]
    timeline = observed.timeline
    return {
        "duration_seconds": round(timeline.duration_seconds, 3),
        "coverage": round(timeline.coverage, 4),
        "frames_per_second": round(timeline.frames_per_second, 3),
        "variable_rate": timeline.is_variable,
        "frames_wanted": observed.num_wanted,
        "frames_decoded": observed.num_decoded,
        "face_share": round(len(steps) / len(observed.steps), 4),
        "most_faces": max(len(faces) for faces in observed.faces),
        "face_confidence": round(float(np.mean([s.face.confidence for s in steps])), 4),
        "face_px": round(float(np.mean([s.face.size for s in steps])) * observed.longer_px, 1),
        "sharpness": round(float(np.mean([sharpness(s.crop) for s in steps])), 2),
        "brightness": round(float(np.mean([brightness(s.crop) for s in steps])), 4),
    }
