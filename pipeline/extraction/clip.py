"""From one clip to its features: the unit of work, the same on every machine.

Shape letters: T steps, D width.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.config.extraction import ExtractionConfig
from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.extraction.contact_sheet import draw_strip
from pipeline.extraction.encoders.encoders import build_dynamic_encoder, build_static_encoder
from pipeline.extraction.failures import ClipError
from pipeline.extraction.observation import Observation, VideoObserver
from pipeline.extraction.precomputed import read_faces, read_flow
from pipeline.extraction.quality import brightness, mean_speed, sharpness
from pipeline.extraction.sources import ClipSource
from pipeline.extraction.video.images import Picture
from pipeline.extraction.video.sampling import LONGEST_PAIR_SECONDS


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipFeatures:
    """What is known of one clip."""

    static: FloatArray
    """What the face looks like, shape (T, D); 0 where the mask is False."""
    static_mask: BoolArray
    """Steps at which the face is seen, shape (T,)."""
    dynamic: FloatArray
    """How it moves, shape (T, D); 0 where the mask is False."""
    dynamic_mask: BoolArray
    """Steps at which its motion could be measured, shape (T,)."""
    seconds: FloatArray
    """When each step was, shape (T,); NaN where nothing is seen or times are not known."""
    boxes: FloatArray
    """Left, top, width, height of the face as shares of the frame's longer side, (T, 4)."""
    quality: dict[str, Any]
    """Columns for the table of clips."""
    warnings: list[str]
    """What is wrong with the clip, though it could be used."""
    strip: Picture | None
    """Its rows of the contact sheet, BGR."""


class ClipExtractor:
    """Makes features of clips, one after the other; loads what it needs once.

    Args:
        config: How features are made.
        has_videos: Whether clips come with videos.
        has_faces: Whether they come with face images, which then make the static stream.
        has_flow: Whether they come with flow fields, which then make the dynamic stream.
    """

    def __init__(
        self,
        config: ExtractionConfig,
        *,
        has_videos: bool = True,
        has_faces: bool = False,
        has_flow: bool = False,
    ) -> None:
        self._config = config
        self._static = build_static_encoder(config)
        self._dynamic = build_dynamic_encoder(config)
        self._observe: VideoObserver | None = None
        if has_videos and not (has_faces and has_flow):
            self._observe = VideoObserver(
                config, static_px=self._static.crop_px, with_colour=self._static.wants_colour
            )

    def describe(self) -> dict[str, Any]:
        """Return the two encoders in plain values, as they say it themselves."""
        return {"static": self._static.describe(), "dynamic": self._dynamic.describe()}

    def __call__(self, source: ClipSource, *, with_strip: bool = False) -> ClipFeatures:
        """Return the features of one clip.

        Raises:
            ClipError: If it cannot be used.
        """
        num_steps = self._config.sampling.num_steps
        seen = None
        if self._observe is not None and source.video is not None:
            seen = self._observe(source.video)
        static, static_mask = _placed(*self._static_steps(source, seen), num_steps)
        dynamic, dynamic_mask, motion = self._dynamic_steps(source, seen)
        dynamic, dynamic_mask = _placed(dynamic, dynamic_mask, num_steps)
        _refuse_empty(static_mask, dynamic_mask)
        steps = seen.steps if seen is not None else []
        seconds = np.full(num_steps, np.nan)
        boxes = np.full((num_steps, 4), np.nan)
        for number, step in enumerate(steps):
            if step is not None:
                seconds[number], boxes[number] = step.seconds, step.face.box
        return ClipFeatures(
            static=static,
            static_mask=static_mask,
            dynamic=dynamic,
            dynamic_mask=dynamic_mask,
            seconds=seconds,
            boxes=boxes,
            quality={**(_video_quality(seen) if seen is not None else {}), "motion": motion},
            warnings=seen.warnings if seen is not None else [],
            strip=draw_strip(source.clip_id, seen) if with_strip and seen is not None else None,
        )

    def _static_steps(
        self, source: ClipSource, seen: Observation | None
    ) -> tuple[FloatArray, BoolArray]:
        """Return vectors of the seen steps, and which steps those are."""
        if source.face_dir is not None:
            crops = read_faces(
                source.face_dir,
                num_steps=self._config.sampling.num_steps,
                crop_px=self._static.crop_px,
                with_colour=self._static.wants_colour,
            )
            return self._static(crops), np.ones(len(crops), dtype=np.bool_)
        assert seen is not None  # noqa: S101 - run.py sees to it that one of them is given
        crops = np.stack([step.static_crop for step in seen.steps if step is not None])
        return self._static(crops), np.array([step is not None for step in seen.steps])

    def _dynamic_steps(
        self, source: ClipSource, seen: Observation | None
    ) -> tuple[FloatArray, BoolArray, float]:
        """Return vectors of the measured steps, which steps those are, and the mean speed."""
        if source.flow_dir is not None:
            speeds = read_flow(
                source.flow_dir,
                num_steps=self._config.sampling.num_steps,
                num_pairs=self._config.dynamic.num_pairs,
                crop_px=self._config.faces.crop_px,
                pair_seconds=self._config.sampling.pair_seconds,
            )
            return self._dynamic(speeds), np.ones(len(speeds), dtype=np.bool_), mean_speed(speeds)
        assert seen is not None  # noqa: S101 - run.py sees to it that one of them is given
        fields = [None if step is None else step.speeds for step in seen.steps]
        measured = [field for field in fields if field is not None]
        if not measured:
            raise ClipError("decode", _why_motionless(seen))
        speeds = np.stack(measured)
        mask = np.array([field is not None for field in fields])
        return self._dynamic(speeds), mask, mean_speed(speeds)


def _placed(values: FloatArray, mask: BoolArray, num_steps: int) -> tuple[FloatArray, BoolArray]:
    """Return vectors at their steps, zeros between them; shapes (T, D) and (T,)."""
    whole = np.zeros((num_steps, values.shape[1]), dtype=np.float32)
    is_valid = np.zeros(num_steps, dtype=np.bool_)
    is_valid[: len(mask)] = mask
    whole[is_valid] = values
    return whole, is_valid


def _refuse_empty(*masks: BoolArray) -> None:
    if not all(mask.any() for mask in masks):
        raise ClipError("decode", "leaves no step to describe")


def _why_motionless(seen: Observation) -> str:
    if seen.num_far == len(seen.steps):
        return (
            f"its frames are {seen.timeline.step_seconds:.2f} s apart, too far to measure motion "
            f"on; expected at most {LONGEST_PAIR_SECONDS} s"
        )
    return "has too few frames to measure motion on"


def _video_quality(seen: Observation) -> dict[str, Any]:
    steps = [step for step in seen.steps if step is not None]
    timeline = seen.timeline
    longer = max(seen.width, seen.height)
    return {
        "duration_seconds": round(timeline.duration_seconds, 3),
        "coverage": round(timeline.coverage, 4),
        "frames_per_second": round(timeline.frames_per_second, 3),
        "variable_rate": timeline.is_variable,
        "frames_wanted": seen.num_wanted,
        "frames_decoded": seen.num_decoded,
        "face_share": round(len(steps) / len(seen.steps), 4),
        "most_faces": max(len(faces) for faces in seen.faces),
        "face_confidence": round(float(np.mean([s.face.confidence for s in steps])), 4),
        "face_px": round(float(np.mean([s.face.size for s in steps])) * longer, 1),
        "sharpness": round(float(np.mean([sharpness(s.crop) for s in steps])), 2),
        "brightness": round(float(np.mean([brightness(s.crop) for s in steps])), 4),
    }
