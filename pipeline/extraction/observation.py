"""What is seen in one video: the face at each step, upright, and how it moves.

Shape letters: T steps, L flow fields of a step, P side of a crop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.config.extraction import ExtractionConfig
from pipeline.core.arrays import FloatArray, IntArray
from pipeline.extraction.encoders.flow import FlowEstimator
from pipeline.extraction.faces.alignment import crop_transform, cut
from pipeline.extraction.faces.detection import Face, FaceDetector
from pipeline.extraction.faces.face_tracking import follow_face
from pipeline.extraction.failures import ClipError
from pipeline.extraction.video.decode import iterate_frames
from pipeline.extraction.video.images import FramePictures, Picture, take_pictures
from pipeline.extraction.video.sampling import are_motion, choose_instants, choose_windows
from pipeline.extraction.video.video import Timeline, read_timeline

_LOW_COVERAGE: Final = 0.98
"""Below this share of the stated duration a file counts as cut."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceStep:
    """The face of the clip at one step."""

    seconds: float
    """When, since the first frame of the clip."""
    face: Face
    """Where it is."""
    picture: Picture
    """The frame as the detector saw it, RGB."""
    crop: Picture
    """The face, upright and grey, shape (P, P)."""
    static_crop: Picture
    """The face as the static encoder wants it."""
    speeds: FloatArray | None
    """Flow in face widths a second, (L, P, P, 2); None where frames of the window are missing or
    too far apart."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Observation:
    """What is seen in one video."""

    timeline: Timeline
    """When its frames are shown."""
    steps: Sequence[FaceStep | None]
    """The face at each step, length at most T; None where it is not seen."""
    faces: Sequence[Sequence[Face]]
    """All faces at each step."""
    num_wanted: int
    """Frames that were wanted."""
    num_decoded: int
    """Those of them that could be decoded."""
    num_far: int
    """Steps whose frames are too far apart for their flow to be motion."""
    width: int
    """Width of the upright picture that crops are cut from, in pixels."""
    height: int
    """Its height."""

    @property
    def warnings(self) -> list[str]:
        """What is wrong with the file, though it could be used; one clause each."""
        found = []
        if self.timeline.coverage < _LOW_COVERAGE:
            found.append(f"frames cover {self.timeline.coverage:.0%} of the stated duration")
        if len(gaps := self.timeline.gaps):
            found.append(
                f"no frame for up to {gaps.max():.1f} s, {len(gaps)} times: a loss or a stall"
            )
        if self.timeline.num_damaged:
            found.append(f"the file is damaged in {self.timeline.num_damaged} places")
        if self.num_decoded < self.num_wanted:
            found.append(f"{self.num_decoded} of {self.num_wanted} frames could be decoded")
        if self.num_far:
            found.append(
                f"no motion is measured at {self.num_far} of {len(self.steps)} steps: their "
                "frames are too far apart"
            )
        return found


class VideoObserver:
    """Looks at videos, one after the other.

    Args:
        config: What to look at.
        static_px: Side of the crops for the static encoder.
        with_colour: Whether it wants RGB.
    """

    def __init__(self, config: ExtractionConfig, *, static_px: int, with_colour: bool) -> None:
        self._config = config
        self._static_px = static_px
        self._with_colour = with_colour
        self._detect = FaceDetector(min_confidence=config.faces.min_confidence)
        self._flow = FlowEstimator()

    def __call__(self, path: Path) -> Observation:
        """Look at one video.

        Raises:
            ClipError: If it cannot be read, or too little of it, or no face is seen.
        """
        timeline = read_timeline(path)
        self._check_coverage(timeline)
        sampling = self._config.sampling
        instants = choose_instants(timeline.seconds, sampling.num_steps)
        windows = choose_windows(
            timeline.seconds,
            instants,
            num_pairs=self._config.dynamic.num_pairs,
            pair_seconds=sampling.pair_seconds,
        )
        has_motion = are_motion(timeline.seconds, windows, pair_seconds=sampling.pair_seconds)
        pictures = self._read(path, timeline, instants, windows)
        num_wanted = len(np.union1d(instants, windows))
        self._check_decoded(pictures, instants)
        faces = self._find_faces(pictures, instants)
        followed = follow_face(faces)
        self._check_faces(followed)
        grey = next(iter(pictures.values())).grey
        steps = [
            None
            if face is None
            else self._step(face, instant, window if is_near else None, timeline, pictures)
            for face, instant, window, is_near in zip(
                followed, instants, windows, has_motion, strict=True
            )
        ]
        return Observation(
            timeline=timeline,
            steps=steps,
            faces=faces,
            num_wanted=num_wanted,
            num_decoded=len(pictures),
            num_far=int((~has_motion).sum()) if windows.shape[1] > 1 else 0,
            width=grey.shape[1],
            height=grey.shape[0],
        )

    def _read(
        self, path: Path, timeline: Timeline, instants: IntArray, windows: IntArray
    ) -> dict[int, FramePictures]:
        """Return the pictures of the wanted frames by their number; damaged ones are missing."""
        looked_at = set(instants.tolist())
        wanted = np.union1d(instants, windows)
        numbers = dict(zip(timeline.pts[wanted].tolist(), wanted.tolist(), strict=True))
        pictures = {}
        for frame in iterate_frames(path, timeline.codec, numbers):
            number = numbers[frame.pts]
            pictures[number] = take_pictures(
                frame,
                pixel_aspect=timeline.pixel_aspect,
                small_px=self._config.faces.detect_px if number in looked_at else None,
                with_colour=self._with_colour and number in looked_at,
            )
        return pictures

    def _find_faces(
        self, pictures: Mapping[int, FramePictures], instants: IntArray
    ) -> list[list[Face]]:
        """Return the faces at each instant; none where the frame is missing."""
        by_size: dict[Any, list[int]] = {}
        for instant in instants.tolist():
            if instant in pictures:
                small = pictures[instant].small
                by_size.setdefault(None if small is None else small.shape, []).append(instant)
        found: dict[int, list[Face]] = {}
        for numbers in by_size.values():  # one size, but for streams that change it midway
            shown = [small for number in numbers if (small := pictures[number].small) is not None]
            detected = self._detect(shown)
            found |= dict(zip(numbers, detected, strict=True))
        return [found.get(instant, []) for instant in instants.tolist()]

    def _step(
        self,
        face: Face,
        instant: int,
        window: IntArray | None,
        timeline: Timeline,
        pictures: Mapping[int, FramePictures],
    ) -> FaceStep:
        seen = pictures[instant]
        small = seen.small
        assert small is not None  # noqa: S101 - a face was found on it
        landmarks = face.landmarks * max(seen.grey.shape)
        crop_px = self._config.faces.crop_px
        transform = crop_transform(landmarks, crop_px)
        picture = seen.grey if seen.colour is None else seen.colour
        crop = cut(seen.grey, transform, crop_px)
        if self._static_px == crop_px and seen.colour is None:
            static_crop = crop
        else:
            static_crop = cut(picture, crop_transform(landmarks, self._static_px), self._static_px)
        return FaceStep(
            seconds=float(timeline.seconds[instant]),
            face=face,
            picture=small,
            crop=crop,
            static_crop=static_crop,
            speeds=None if window is None else self._speeds(window, timeline, pictures, transform),
        )

    def _speeds(
        self,
        window: IntArray,
        timeline: Timeline,
        pictures: Mapping[int, FramePictures],
        transform: FloatArray,
    ) -> FloatArray | None:
        numbers = window.tolist()
        shapes = {pictures[number].grey.shape for number in numbers if number in pictures}
        is_whole = all(number in pictures for number in numbers) and len(shapes) == 1
        if len(numbers) < 2 or not is_whole:
            return None
        crop_px = self._config.faces.crop_px
        crops = [cut(pictures[number].grey, transform, crop_px) for number in numbers]
        return self._flow(crops, timeline.seconds[window])

    def _check_coverage(self, timeline: Timeline) -> None:
        least = self._config.sampling.min_coverage
        # Without damage a gap is a stall: the clip stood still, and all of it is there.
        found = timeline.coverage if timeline.num_damaged else timeline.reach
        if found < least:
            missing = "is cut" if timeline.reach < least else "has holes"
            raise ClipError(
                "open",
                f"its frames cover {found:.0%} of the {timeline.whole_seconds:.1f} s that its "
                f"header states, expected at least {least:.0%}; the file {missing}",
            )

    def _check_decoded(self, pictures: Mapping[int, FramePictures], instants: IntArray) -> None:
        least = self._config.sampling.min_coverage
        num_decoded = sum(instant in pictures for instant in instants.tolist())
        if num_decoded < max(1, least * len(instants)):
            raise ClipError(
                "decode",
                f"{num_decoded} of {len(instants)} sampled frames could be decoded, expected at "
                f"least {least:.0%}; the file is damaged",
            )

    def _check_faces(self, followed: Sequence[Face | None]) -> None:
        least = self._config.faces.min_share
        num_seen = sum(face is not None for face in followed)
        if num_seen < max(1, least * len(followed)):
            raise ClipError(
                "face",
                f"a face is seen in {num_seen} of {len(followed)} sampled frames, expected at "
                f"least {least:.0%}",
            )
