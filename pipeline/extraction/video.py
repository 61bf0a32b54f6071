"""What a video file holds, from its packets alone: nothing is decoded to plan the reading.

Frames are known by their presentation timestamps (pts). The number of frames and the
frame rate that a header claims are not used: they are wrong for cut files, edit lists and
variable rates.

Shape letters: F frames of the file.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.extraction.failures import ClipError

# A playlist that is called .mp4 would make FFmpeg open other files, and addresses.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,flv,ogg,h264,hevc,m4v"
)
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """When each frame of a file is shown."""

    pts: IntArray
    """Timestamps of the frames in the order they are shown, shape (F,), without repeats."""
    seconds: FloatArray
    """The same in seconds since the first frame, shape (F,)."""
    codec: str
    """Name of the codec, e.g. "h264"."""
    stated_seconds: float | None
    """Duration by the header; None where it has none."""
    last_seconds: float
    """How long the last frame is shown."""
    pixel_aspect: float
    """Width of a pixel over its height."""

    @property
    def step_seconds(self) -> float:
        """The usual time from frame to frame; 0 for a single frame."""
        return float(np.median(np.diff(self.seconds))) if len(self.seconds) > 1 else 0.0

    @property
    def duration_seconds(self) -> float:
        """How long the frames that are there are shown."""
        return float(self.seconds[-1]) + self.last_seconds

    @property
    def coverage(self) -> float:
        """The share of the stated duration that frames cover, in [0, 1]; cut files have less."""
        if not self.stated_seconds:
            return 1.0
        return min(1.0, self.duration_seconds / self.stated_seconds)

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
        frame_ticks = 0
        stamps: list[int | None] = []
        # What an edit list cuts away is decoded, as others refer to it, and not shown.
        for packet in _packets(container, stream):
            if not packet.is_discard:
                stamps.append(packet.pts)
                frame_ticks = packet.duration or frame_ticks
        codec = stream.codec_context.name
        time_base = float(stream.time_base)
        stated = _stated_seconds(container, stream)
        pixel_aspect = float(stream.sample_aspect_ratio or 1)
    if None in stamps:  # AVI and raw streams: only the decoder knows the order of frames
        stamps = [*_decoded_stamps(path)]
    if not stamps:
        raise ClipError("open", "has a video stream without frames")
    pts = np.unique(np.asarray(stamps, dtype=np.int64))
    return Timeline(
        pts=pts,
        seconds=(pts - pts[0]) * time_base,
        codec=codec,
        stated_seconds=stated,
        last_seconds=frame_ticks * time_base,
        pixel_aspect=pixel_aspect,
    )


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the packets of a stream up to the end, or up to where the file is damaged."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            return  # shows in the coverage
        if packet is None or packet.size == 0:  # the empty packet flushes a decoder
            return
        yield packet


def _decoded_stamps(path: Path) -> Iterator[int]:
    with open_video(path) as (container, stream):
        stream.codec_context.thread_count = 1
        for packet in [*_packets(container, stream), None]:
            with contextlib.suppress(av.FFmpegError):  # shows in the coverage
                for frame in stream.codec_context.decode(packet):
                    if frame.pts is not None:
                        yield frame.pts


def _stated_seconds(container: Any, stream: Any) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
