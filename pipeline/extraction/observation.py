"""Find the face at each time step of a video, and measure the optical flow of the face.

Shape letters: T time steps, L flow fields per time step, P side of a crop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from pipeline.config.extraction import ExtractionConfig
from pipeline.core.arrays import FloatArray, IntArray
from pipeline.extraction.faces.alignment import crop_transform, cut, to_face_widths
from pipeline.extraction.faces.detection import Face, FaceDetector
from pipeline.extraction.faces.face_tracking import track_main_face
from pipeline.extraction.tasks import ClipError
from pipeline.extraction.video.decode import iterate_frames
from pipeline.extraction.video.images import FrameImages, Image, convert_frame
from pipeline.extraction.video.sampling import are_motion, choose_instants, choose_windows
from pipeline.extraction.video.video import Timeline, read_timeline

_LOW_COVERAGE: Final = 0.98
"""If the frames of a file cover a smaller share of its stated duration, there is a warning."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceStep:
    """Tracked face at one time step."""

    seconds: float
    """Time since the first frame of the clip."""
    face: Face
    image: Image
    """RGB frame in the size of the detector input."""
    crop: Image
    """Upright grey crop, shape (P, P)."""
    static_crop: Image
    """Upright crop for the static encoder."""
    speeds: FloatArray | None
    """Flow in face widths per second, shape (L, P, P, 2). None if frames of the flow window are
    missing, differ in size, or are too far apart in time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Observation:
    """Faces and motion in one video."""

    timeline: Timeline
    steps: Sequence[FaceStep | None]
    """Main face at each time step, or None; length at most T."""
    faces: Sequence[Sequence[Face]]
    """All detected faces at each time step."""
    num_wanted: int
    """Number of sampled frames, including the frames of the flow windows."""
    num_decoded: int
    """Number of sampled frames that could be decoded."""
    num_far: int
    """Number of time steps whose frames are too far apart in time to measure motion."""
    longer_px: int
    """Longer side of the images from which faces are cropped, in pixels."""

    @property
    def warnings(self) -> list[str]:
        """Warnings about a file that is still usable."""
        found = []
        if self.timeline.coverage < _LOW_COVERAGE:
            found.append(f"frames cover {self.timeline.coverage:.0%} of the stated duration")
        if len(gaps := self.timeline.gaps):
            found.append(f"gaps without frames: {len(gaps)}, the longest {gaps.max():.1f} s")
        if self.timeline.num_damaged:
            found.append(f"the file is damaged in {self.timeline.num_damaged} places")
        if self.num_decoded < self.num_wanted:
            found.append(f"{self.num_decoded} of {self.num_wanted} frames could be decoded")
        if self.num_far:
            found.append(
                f"motion is not measured at {self.num_far} of {len(self.steps)} steps, because "
                "their frames are too far apart"
            )
        return found


class FlowEstimator:
    """Optical flow by dense inverse search. It is faster and more accurate than Farneback flow.

    Reference: Kroeger, Timofte, Dai & Van Gool, 2016 (arXiv:1603.03590).
    """

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, crops: Sequence[Image], seconds: FloatArray) -> FloatArray:
        """Return the optical flow between successive crops at every pixel.

        Args:
            crops: L + 1 grey crops of one window, cut with the same transform.
            seconds: Times of the crops, ascending, shape (L + 1,).

        Returns:
            Flow to the right and down, in face widths per second, float32, shape
            (L, P, P, 2). The values do not depend on frame rate or face size.
        """
        gaps = np.diff(seconds)
        return np.stack(
            [
                to_face_widths(self._search.calc(before, after, None), 1.0 / gap)
                for before, after, gap in zip(crops[:-1], crops[1:], gaps, strict=True)
            ]
        )


class VideoObserver:
    """Callable that returns the `Observation` of a video.

    `static_px` is the side of the crops for the static encoder. If `with_colour` is True, these
    crops are RGB. Otherwise they are grey.
    """

    def __init__(self, config: ExtractionConfig, *, static_px: int, with_colour: bool) -> None:
        self._config = config
        self._static_px = static_px
        self._with_colour = with_colour
        self._detect = FaceDetector(min_confidence=config.faces.min_confidence)
        self._flow = FlowEstimator()

    def __call__(self, path: Path) -> Observation:
        """Return the faces and the motion in one video.

        Raises:
            ClipError: If too few frames can be read, or too few frames show a face.
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
        images = self._read(path, timeline, instants, windows)
        num_decoded = sum(instant in images for instant in instants.tolist())
        if num_decoded < max(1, sampling.min_coverage * len(instants)):
            reason = (
                f"{num_decoded} of {len(instants)} sampled frames could be decoded, but at least "
                f"{sampling.min_coverage:.0%} are needed; the file is damaged"
            )
            raise ClipError("decode", reason)
        faces = self._find_faces(images, instants)
        tracked = track_main_face(faces)
        min_share = self._config.faces.min_share
        num_seen = sum(face is not None for face in tracked)
        if num_seen < max(1, min_share * len(tracked)):
            seen = f"a face is visible in {num_seen} of {len(tracked)} sampled frames"
            raise ClipError("face", f"{seen}, but at least {min_share:.0%} are needed")
        steps = [
            None
            if face is None
            else self._step(face, instant, window if is_near else window[:1], timeline, images)
            for face, instant, window, is_near in zip(
                tracked, instants, windows, has_motion, strict=True
            )
        ]
        return Observation(
            timeline=timeline,
            steps=steps,
            faces=faces,
            num_wanted=len(np.union1d(instants, windows)),
            num_decoded=len(images),
            num_far=int((~has_motion).sum()) if windows.shape[1] > 1 else 0,
            longer_px=max(next(iter(images.values())).grey.shape),
        )

    def _read(
        self, path: Path, timeline: Timeline, instants: IntArray, windows: IntArray
    ) -> dict[int, FrameImages]:
        with_faces = set(instants.tolist())
        wanted = np.union1d(instants, windows)
        numbers = dict(zip(timeline.pts[wanted].tolist(), wanted.tolist(), strict=True))
        images = {}
        for frame in iterate_frames(path, timeline.codec, numbers):
            number = numbers[frame.pts]
            images[number] = convert_frame(
                frame,
                pixel_aspect=timeline.pixel_aspect,
                small_px=self._config.faces.detect_px if number in with_faces else None,
                with_colour=self._with_colour and number in with_faces,
            )
        return images

    def _find_faces(
        self, images: Mapping[int, FrameImages], instants: IntArray
    ) -> list[list[Face]]:
        by_size: dict[tuple[int, ...], dict[int, Image]] = {}  # the frame size can change
        for instant in instants.tolist():
            small = images[instant].small if instant in images else None
            if small is not None:
                by_size.setdefault(small.shape, {})[instant] = small
        found: dict[int, list[Face]] = {}
        for batch in by_size.values():
            found |= dict(zip(batch, self._detect(list(batch.values())), strict=True))
        return [found.get(instant, []) for instant in instants.tolist()]

    def _step(
        self,
        face: Face,
        instant: int,
        window: IntArray,
        timeline: Timeline,
        images: Mapping[int, FrameImages],
    ) -> FaceStep:
        frame = images[instant]
        assert frame.small is not None  # noqa: S101 - the face was detected in this image
        landmarks = face.landmarks * max(frame.grey.shape)
        crop_px = self._config.faces.crop_px
        transform = crop_transform(landmarks, crop_px)
        crop = static_crop = cut(frame.grey, transform, crop_px)
        if self._static_px != crop_px or frame.colour is not None:
            image = frame.grey if frame.colour is None else frame.colour
            static_crop = cut(image, crop_transform(landmarks, self._static_px), self._static_px)
        speeds = None
        shapes = {images[each].grey.shape if each in images else None for each in window.tolist()}
        if len(window) > 1 and len(shapes) == 1 and None not in shapes:
            crops = [cut(images[each].grey, transform, crop_px) for each in window.tolist()]
            speeds = self._flow(crops, timeline.seconds[window])
        return FaceStep(
            seconds=float(timeline.seconds[instant]),
            face=face,
            image=frame.small,
            crop=crop,
            static_crop=static_crop,
            speeds=speeds,
        )

    def _check_coverage(self, timeline: Timeline) -> None:
        minimum = self._config.sampling.min_coverage
        # In an undamaged file, a gap is a pause of the camera, so no frames are lost.
        found = timeline.coverage if timeline.num_damaged else timeline.reach
        if found < minimum:
            fault = "is cut" if timeline.reach < minimum else "has holes"
            raise ClipError(
                "open",
                f"its frames cover {found:.0%} of the duration in the header "
                f"({timeline.whole_seconds:.1f} s), but at least {minimum:.0%} are needed; the "
                f"file {fault}",
            )
