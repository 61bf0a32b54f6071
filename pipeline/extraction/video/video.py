"""What a video file holds, from its packets alone: nothing is decoded to plan the reading.

Frames are known by their presentation timestamps (pts). The number of frames and the
frame rate that a header claims are not used: they are wrong for cut files, edit lists and
variable rates.

Shape letters: F frames of the file.
"""

import contextlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.extraction.failures import ClipError
from pipeline.extraction.video.packets import PacketReader

_GAP_SECONDS: Final = 1.0
_GAP_STEPS: Final = 5
"""Frames follow each other faster than both of these, or there is a gap."""
_WHOLE: Final = 0.98
"""Share of its stated duration that a container reaches when nothing was cut from its end."""
_TAG: Final = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")

# A playlist that is called .mp4 would make FFmpeg open other files, and addresses.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,flv,ogg,h264,hevc,m4v,"
    "mxf,dv,rm,yuv4mpegpipe"
)
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """When each frame of a file is shown."""

    pts: IntArray
    """Timestamps of the frames in the order they are shown, shape (F,), without repeats. They
    name the frames; H.264 in AVI has them in another order than that of time."""
    seconds: FloatArray
    """When each is shown, in seconds since the first, increasing, shape (F,)."""
    codec: str
    """Name of the codec, e.g. "h264"."""
    stated_seconds: float | None
    """Duration by the header; None where it has none."""
    last_seconds: float
    """How long the last frame is shown."""
    pixel_aspect: float
    """Width of a pixel over its height."""
    num_damaged: int = 0
    """Packets that are damaged, or come after bytes that could not be read."""

    @property
    def step_seconds(self) -> float:
        """The usual time from frame to frame; 0 for a single frame."""
        return float(np.median(np.diff(self.seconds))) if len(self.seconds) > 1 else 0.0

    @property
    def frames_per_second(self) -> float:
        """The usual frame rate; 0 for a single frame."""
        if self.is_variable or not self.step_seconds:
            return 1 / self.step_seconds if self.step_seconds else 0.0
        # Matroska rounds times to milliseconds, and a single step of 33 ms is no 30 a second.
        return float((len(self.seconds) - 1) / (self.seconds[-1] - self.seconds[0]))

    @property
    def duration_seconds(self) -> float:
        """How long the frames that are there are shown."""
        return float(self.seconds[-1]) + self.last_seconds

    @property
    def gaps(self) -> FloatArray:
        """How long nothing new is shown, wherever that is over 1 s and over 5 usual steps.

        A file from which frames were lost and a camera that stalled look the same here.
        """
        steps = np.diff(self.seconds)
        return steps[steps > max(_GAP_SECONDS, _GAP_STEPS * self.step_seconds)]

    @property
    def whole_seconds(self) -> float:
        """How long it should be: as stated, or up to its last frame where that is longer."""
        return max(self.stated_seconds or 0.0, self.duration_seconds)

    @property
    def reach(self) -> float:
        """The share of the whole duration up to the end of the last frame, in [0, 1]."""
        return self.duration_seconds / self.whole_seconds if self.whole_seconds else 1.0

    @property
    def coverage(self) -> float:
        """The share of the whole duration that frames cover, in [0, 1].

        A file that is cut at its end or has gaps covers less. A gap counts as one usual step.
        """
        if not self.whole_seconds:
            return 1.0
        missing_seconds = float((self.gaps - self.step_seconds).sum())
        return (self.duration_seconds - missing_seconds) / self.whole_seconds

    @property
    def is_variable(self) -> bool:
        """Whether frames follow each other at unequal times."""
        steps = np.diff(self.seconds)
        return bool(len(steps) and steps.max() > 1.5 * self.step_seconds)


@contextlib.contextmanager
def open_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a file; yield its container and its first video stream.

    Raises:
        ClipError: If it cannot be opened, or has no video stream.
    """
    try:
        container = av.open(
            str(path.absolute()), metadata_errors="replace", container_options=_OPTIONS
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ClipError("open", f"is not a readable video ({_reason(error)})") from error
    with container:
        if not container.streams.video:
            raise ClipError("open", "has no video stream")
        yield container, container.streams.video[0]


def read_timeline(path: Path) -> Timeline:
    """Read when the frames of a file are shown, from its packets.

    Raises:
        ClipError: If the file cannot be opened or has no frames.
    """
    with open_video(path) as (container, stream):
        frame_ticks = num_damaged = 0
        stamps: list[int | None] = []
        packets = PacketReader(container, stream)
        # What an edit list cuts away is decoded, as others refer to it, and not shown.
        for packet, is_damaged in packets:
            num_damaged += is_damaged
            if not packet.is_discard:
                stamps.append(packet.pts)
                frame_ticks = packet.duration or frame_ticks
        codec = stream.codec_context.name
        time_base = float(stream.time_base)
        pixel_aspect = float(stream.sample_aspect_ratio or 1)
        pts: IntArray
        if None in stamps or (container.format.name == "avi" and stream.codec_context.has_b_frames):
            # Such files count frames in the order of decoding: the decoder alone knows when
            # each is shown, and gives them timestamps that may run back and forth.
            pts = np.asarray([*dict.fromkeys(_decoded_stamps(path))], dtype=np.int64)
        else:
            pts = np.unique(np.asarray(stamps, dtype=np.int64))
        if not len(pts):
            raise ClipError("open", "has a video stream without frames")
        ticks = np.sort(pts)
        first_seconds = float(ticks[0] * time_base)
        stated = _stated_seconds(container, stream, first_seconds, packets.other_seconds)
    seconds = (ticks - ticks[0]) * time_base
    # ASF and FLV do not state how long a frame is shown.
    usual_seconds = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 0.0
    return Timeline(
        pts=pts,
        seconds=seconds,
        codec=codec,
        stated_seconds=stated,
        last_seconds=frame_ticks * time_base or usual_seconds,
        pixel_aspect=pixel_aspect,
        num_damaged=num_damaged,
    )


def _decoded_stamps(path: Path) -> Iterator[int]:
    with open_video(path) as (container, stream):
        stream.codec_context.thread_count = 1
        packets = (packet for packet, _ in PacketReader(container, stream))
        for packet in itertools.chain(packets, [None]):
            with contextlib.suppress(av.FFmpegError):  # shows in the coverage
                for frame in stream.codec_context.decode(packet):
                    if frame.pts is not None:
                        yield frame.pts


def _stated_seconds(
    container: Any, stream: Any, first_seconds: float, other_seconds: float
) -> float | None:
    """Return how long the stream is shown by the header, from its first frame on.

    Args:
        container: The open file.
        stream: Its video stream.
        first_seconds: When the first frame is shown.
        other_seconds: When the latest packet of the other streams ends.

    Returns:
        None where the header has no duration, or has that of a longer stream: Matroska and FLV
        state the duration of the whole file, sound included. Then what is missing at the end
        cannot be noticed, but the file is read up to its stated end by the other stream.
    """
    if stream.duration:
        return float(stream.duration * stream.time_base)
    ends_at = _tagged_seconds(stream)
    if ends_at is None:
        if not container.duration:
            return None
        ends_at = container.duration / av.time_base
        if other_seconds >= _WHOLE * ends_at:
            return None
    # Both count from the time 0 of the file, at which the stream need not begin.
    return ends_at - first_seconds if 0 < first_seconds < ends_at else ends_at


def _tagged_seconds(stream: Any) -> float | None:
    """Return when a Matroska stream ends by its tag, which muxers write beside the header."""
    for name, value in stream.metadata.items():
        found = _TAG.fullmatch(value) if name.upper().split("-")[0] == "DURATION" else None
        if found:
            hours, minutes, seconds = map(float, found.groups())
            return 3600 * hours + 60 * minutes + seconds or None
    return None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
