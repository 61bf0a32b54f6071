"""Videos that tests draw and encode themselves."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def draw_frames(num_frames: int, *, width: int = 160, height: int = 96) -> list[np.ndarray]:
    """A square that moves right by two pixels a frame, before noise that stays."""
    noise = np.random.default_rng(0).integers(60, 120, (height, width, 3), dtype=np.uint8)
    frames = []
    for number in range(num_frames):
        frame = noise.copy()
        left = 2 * number % (width - 24)
        frame[30:54, left : left + 24] = (220, 180, 140)
        frames.append(frame)
    return frames


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    rate: int = 30,
    ticks: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    pixel_format: str = "yuv420p",
    container_format: str | None = None,
) -> Path:
    """Encode RGB frames; `ticks` are their times in milliseconds, for variable rates."""
    # The index at the beginning, so that a file that is cut can be opened.
    muxer = {"movflags": "faststart"} if path.suffix in {".mp4", ".mov"} else {}
    with av.open(str(path), "w", format=container_format, options=muxer) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel_format
        if ticks is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if ticks is not None:
                frame.pts, frame.time_base = ticks[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decode_all(path: Path) -> dict[int, Any]:
    """Every frame of a file by its timestamp, decoded without skipping anything."""
    with av.open(str(path)) as container:
        return {frame.pts: frame for frame in container.decode(video=0)}
