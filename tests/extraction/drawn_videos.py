"""Drawn videos and images, and modified copies of real clips, for tests."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

ORIENTATIONS = {
    "upright": (1, 0, 0, 1),
    "left and right exchanged": (-1, 0, 0, 1),
    "half a turn": (-1, 0, 0, -1),
    "top and bottom exchanged": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "a quarter turn right": (0, 1, -1, 0),
    "transposed along the other diagonal": (0, -1, -1, 0),
    "a quarter turn left": (0, -1, 1, 0),
}
"""Display matrices a, b, c, d in the order of the EXIF values 1 to 8."""


def to_coded(shown: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Return the coded frame that a player shows as `shown` because of the display matrix."""
    a, b, c, d = matrix
    height, width = shown.shape[:2] if a else shown.shape[1::-1]
    rows, columns = np.indices((height, width))
    across, down = a * columns + c * rows, b * columns + d * rows
    return np.ascontiguousarray(shown[down - down.min(), across - across.min()])


def with_matrix(source: Path, path: Path, matrix: tuple[float, float, float, float]) -> Path:
    """Copy an MP4 file and replace the display matrix in its track header."""
    content = bytearray(source.read_bytes())
    at = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (round(value * 65536) for value in matrix)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def draw_frames(num_frames: int, *, width: int = 160, height: int = 96) -> list[np.ndarray]:
    """Draw a square that moves right by two pixels per frame, on constant noise."""
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
) -> Path:
    """Encode RGB frames. For variable rates, `ticks` are the frame times in milliseconds."""
    # A cut file can be opened only if the index is at the beginning.
    muxer = {"movflags": "faststart"} if path.suffix in {".mp4", ".mov"} else {}
    with av.open(str(path), "w", options=muxer) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel_format
        if ticks is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if ticks is not None:
                frame.pts, frame.time_base = ticks[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decode_all(path: Path) -> dict[int, Any]:
    """Return all frames of a file by timestamp."""
    with av.open(str(path)) as container:
        return {frame.pts: frame for frame in container.decode(video=0)}


def draw_noise(num_frames: int, *, size: int = 96) -> list[np.ndarray]:
    """Draw frames that compress badly, so that all packets are large."""
    numbers = np.random.default_rng(0)
    shape = (num_frames, size, size, 3)
    return list(numbers.integers(0, 256, shape, dtype=np.uint8))


def write_with_sound(path: Path, num_frames: int, *, sound_seconds: float) -> Path:
    """Write interleaved VP9 video with 30 frames per second and Opus noise."""
    noise = np.random.default_rng(0).normal(size=(1, 960), scale=0.1).astype(np.float32)
    with av.open(str(path), "w") as container:
        fast = {"deadline": "realtime", "cpu-used": "8"}
        video = container.add_stream("libvpx-vp9", rate=30, options=fast)
        video.width, video.height, video.pix_fmt = 96, 96, "yuv420p"
        sound = container.add_stream("libopus", rate=48000, layout="mono")
        images = iter(draw_noise(num_frames))
        shown = 0
        for number in range(round(sound_seconds * 50)):
            while shown < min(num_frames, number * 30 / 50):
                frame = av.VideoFrame.from_ndarray(next(images), format="rgb24")
                container.mux(video.encode(frame))
                shown += 1
            if shown == num_frames:
                container.mux(video.encode(None))
                shown += 1
            samples = av.AudioFrame.from_ndarray(noise, format="flt", layout="mono")
            samples.sample_rate, samples.pts = 48000, 960 * number
            container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    return path


def without_duration_tag(source: Path, path: Path) -> Path:
    """Copy a Matroska file without the durations of its streams."""
    path.write_bytes(source.read_bytes().replace(b"DURATION", b"NODURATN"))
    return path


def remux(clip: Path, path: Path) -> Path:
    """Copy the video packets to another container. In MP4, the index is at the beginning."""
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(clip)) as source, av.open(str(path), "w", options=options) as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    return path


def copy_part(clip: Path, path: Path, *, seconds: float) -> Path:
    """Copy the packets of the first seconds; repeat the clip if it is shorter."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as copy:
        stream = source.streams.video[0]
        target = copy.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.dts is not None]
        length = packets[-1].dts + packets[-1].duration - packets[0].dts
        repeats = int(seconds / float(length * stream.time_base)) + 1
        for repeat in range(repeats):
            with av.open(str(clip)) as again:
                for packet in again.demux(again.streams.video[0]):
                    if packet.dts is None:
                        continue
                    packet.pts += repeat * length
                    packet.dts += repeat * length
                    if packet.dts * Fraction(stream.time_base) < seconds:
                        packet.stream = target
                        copy.mux(packet)
    return path


def small_copy(clip: Path, path: Path) -> Path:
    """Copy a clip with 320 x 180 pixels, for decoding in a tenth of the time."""
    with av.open(str(clip)) as source:
        images = [
            frame.reformat(width=320, height=180, format="rgb24").to_ndarray()
            for frame in source.decode(video=0)
        ]
    return write_video(path, images, options={"preset": "veryfast"})


def with_hole(source: Path, path: Path, *, at: float, num_bytes: int, noise: bool = False) -> Path:
    """Copy a file, and write zeros or noise at the relative position `at`."""
    content = bytearray(source.read_bytes())
    begin = int(len(content) * at)
    hole = np.random.default_rng(0).bytes(num_bytes) if noise else bytes(num_bytes)
    content[begin : begin + num_bytes] = hole
    path.write_bytes(content)
    return path


def write_jpeg(path: Path, image: np.ndarray, *, orientation: int) -> Path:
    """Write a BGR image with an EXIF orientation from 1 to 8."""
    plain = cv2.imencode(".jpg", image)[1].tobytes()
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    header = b"\xff\xe1" + struct.pack(">H", len(exif) + 2)
    path.write_bytes(plain[:2] + header + exif + plain[2:])
    return path
