"""Read the timeline of a video file from its packets, without decoding.

Frames are identified by their presentation timestamps (pts). The frame count and frame rate in
the header are not used, because they are wrong for cut files, edit lists and variable rates.

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
from pipeline.extraction.tasks import ClipError
from pipeline.extraction.video.packets import PacketReader

_GAP_SECONDS: Final = 1.0
_GAP_STEPS: Final = 5
"""A gap is longer than both `_GAP_SECONDS` and `_GAP_STEPS` median frame intervals."""
_COMPLETE: Final = 0.98
"""If a stream covers at least this share of the stated duration, the stream is complete."""
_TAG: Final = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")

# Playlist formats are excluded, because FFmpeg would open the files and addresses in a playlist.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,flv,ogg,h264,hevc,m4v,"
    "mxf,dv,rm,yuv4mpegpipe"
)
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """Frame times of a video file."""

    pts: IntArray
    """Unique timestamps of the frames in presentation order, shape (F,). For H.264 in AVI, the
    timestamps may not be ascending."""
    seconds: FloatArray
    """Times of the frames since the first frame, ascending, shape (F,)."""
    codec: str
    """Codec, e.g. "h264"."""
    stated_seconds: float | None
    """Duration of the video according to the file; None if the file does not state it."""
    last_seconds: float
    """Display duration of the last frame."""
    pixel_aspect: float
    """Width of a pixel divided by its height."""
    num_damaged: int = 0
    """Number of packets that are damaged or follow unreadable bytes."""

    @property
    def step_seconds(self) -> float:
        """Median time between frames; 0 for a single frame."""
        return float(np.median(np.diff(self.seconds))) if len(self.seconds) > 1 else 0.0

    @property
    def frames_per_second(self) -> float:
        """Frame rate; 0 for a single frame. For variable rates, the median rate."""
        if not self.step_seconds:
            return 0.0
        if self.is_variable:
            return 1 / self.step_seconds
        # Matroska rounds each time to milliseconds. This rounding changes the median interval more
        # than the mean interval, so the rate is computed from the mean interval.
        return float((len(self.seconds) - 1) / (self.seconds[-1] - self.seconds[0]))

    @property
    def duration_seconds(self) -> float:
        """Time from the first frame to the end of the last frame."""
        return float(self.seconds[-1]) + self.last_seconds

    @property
    def gaps(self) -> FloatArray:
        """Frame intervals that exceed both 1 s and 5 median intervals, in seconds.

        The cause is lost frames or a pause of the camera.
        """
        steps = np.diff(self.seconds)
        return steps[steps > max(_GAP_SECONDS, _GAP_STEPS * self.step_seconds)]

    @property
    def whole_seconds(self) -> float:
        """Expected duration: the longer of the stated and the measured duration."""
        return max(self.stated_seconds or 0.0, self.duration_seconds)

    @property
    def reach(self) -> float:
        """End of the last frame as a share of the expected duration, in [0, 1]."""
        return self.duration_seconds / self.whole_seconds if self.whole_seconds else 1.0

    @property
    def coverage(self) -> float:
        """Share of the expected duration that frames cover, in [0, 1].

        The coverage is low for cut files and files with gaps. One median interval of each gap
        counts as covered.
        """
        if not self.whole_seconds:
            return 1.0
        missing_seconds = float((self.gaps - self.step_seconds).sum())
        return (self.duration_seconds - missing_seconds) / self.whole_seconds

    @property
    def is_variable(self) -> bool:
        """True if the longest frame interval exceeds 1.5 median intervals."""
        steps = np.diff(self.seconds)
        return bool(len(steps) and steps.max() > 1.5 * self.step_seconds)


@contextlib.contextmanager
def open_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a file; yield its container and its first video stream.

    Raises:
        ClipError: If the file cannot be opened, or has no video stream.
    """
    try:
        container = av.open(
            str(path.absolute()), metadata_errors="replace", container_options=_OPTIONS
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ClipError("open", f"is not a readable video ({reason})") from error
    with container:
        if not container.streams.video:
            raise ClipError("open", "has no video stream")
        yield container, container.streams.video[0]


def read_timeline(path: Path) -> Timeline:
    """Read the frame times of a file from its packets.

    Raises:
        ClipError: If the file cannot be opened or has no frames.
    """
    with open_video(path) as (container, stream):
        frame_ticks = num_damaged = 0
        stamps: list[int | None] = []
        packets = PacketReader(container, stream)
        for packet, is_damaged in packets:
            num_damaged += is_damaged
            if not packet.is_discard:  # an edit list can hide frames
                stamps.append(packet.pts)
                frame_ticks = packet.duration or frame_ticks
        codec = stream.codec_context.name
        time_base = float(stream.time_base)
        pixel_aspect = float(stream.sample_aspect_ratio or 1)
        pts: IntArray
        if None in stamps or (container.format.name == "avi" and stream.codec_context.has_b_frames):
            # Such files store only the decoding order of frames, so the decoder assigns the
            # timestamps. These timestamps may not be ascending.
            pts = np.asarray([*dict.fromkeys(_decode_stamps(path))], dtype=np.int64)
        else:
            pts = np.unique(np.asarray(stamps, dtype=np.int64))
        if not len(pts):
            raise ClipError("open", "has a video stream without frames")
        ticks = np.sort(pts)
        first_seconds = float(ticks[0] * time_base)
        stated = _stated_seconds(container, stream, first_seconds, packets.other_seconds)
    seconds = (ticks - ticks[0]) * time_base
    # ASF and FLV files do not store frame durations, so the median interval is used.
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


def _decode_stamps(path: Path) -> Iterator[int]:
    with open_video(path) as (container, stream):
        stream.codec_context.thread_count = 1
        packets = (packet for packet, _ in PacketReader(container, stream))
        for packet in itertools.chain(packets, [None]):
            with contextlib.suppress(av.FFmpegError):  # lost frames lower the coverage
                for frame in stream.codec_context.decode(packet):
                    if frame.pts is not None:
                        yield frame.pts


def _stated_seconds(
    container: Any, stream: Any, first_seconds: float, other_seconds: float
) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    ends_at = _tagged_seconds(stream)
    if ends_at is None:
        if not container.duration:
            return None
        ends_at = container.duration / av.time_base
        # Matroska and FLV files store the duration of the longest stream. If another stream,
        # e.g. the sound, lasts about as long, the duration of the video is unknown. In this case, a
        # loss at the end of the video is not detected.
        if other_seconds >= _COMPLETE * ends_at:
            return None
    # The end time is counted from time 0 of the file, but the first frame may be later.
    return ends_at - first_seconds if 0 < first_seconds < ends_at else ends_at


def _tagged_seconds(stream: Any) -> float | None:
    # Matroska files store the end time of each stream in a DURATION tag.
    for name, value in stream.metadata.items():
        found = _TAG.fullmatch(value) if name.upper().split("-")[0] == "DURATION" else None
        if found:
            hours, minutes, seconds = map(float, found.groups())
            return 3600 * hours + 60 * minutes + seconds or None
    return None
