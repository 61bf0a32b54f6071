"""Convert decoded frames to upright images of limited size.

Shape letters: H height and W width of the image.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""Grey, shape (H, W), or RGB, shape (H, W, 3)."""

MAX_PX: Final = 1280
"""Maximum image side in pixels. This limit reduces the memory use for 4K videos."""

_LUMA_FIRST: Final = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12")
"""Pixel formats whose first plane contains the luma, with one byte per pixel."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameImages:
    """Images of one frame."""

    grey: Image
    """Grey image, shape (H, W)."""
    small: Image | None = None
    """RGB image for the face detector, with the aspect ratio of `grey`, shape (h, w, 3)."""
    colour: Image | None = None
    """RGB image for networks, shape (H, W, 3)."""


def convert_frame(
    frame: Any, *, pixel_aspect: float, small_px: int | None, with_colour: bool
) -> FrameImages:
    """Convert an `av.VideoFrame` to upright images with square pixels.

    `pixel_aspect` is the width of a pixel divided by its height. `small_px` is the longer side of
    the small image.
    """
    width, height = shown_size(frame.width, frame.height, pixel_aspect, MAX_PX)
    matrix = _read_matrix(frame)
    small = colour = None
    if small_px is not None:
        small_size = shown_size(frame.width, frame.height, pixel_aspect, small_px)
        small = _turn_upright(_rgb(frame, *small_size), matrix)
    if with_colour:
        colour = _turn_upright(_rgb(frame, width, height), matrix)
    grey = _turn_upright(_grey(frame, width, height), matrix)
    return FrameImages(grey=grey, small=small, colour=colour)


def shown_size(width: int, height: int, pixel_aspect: float, max_px: int) -> tuple[int, int]:
    """Return the image size with square pixels. The longer side is at most `max_px`."""
    true_width = width * pixel_aspect
    scale = min(1.0, max_px / max(true_width, height))
    return max(1, round(true_width * scale)), max(1, round(height * scale))


def _read_matrix(frame: Any) -> tuple[float, float, float, float]:
    """Return the elements a, b, c, d of the display matrix.

    A coded point (p, q) is displayed at (a p + c q, b p + d q). The axes point right and down.

    Reference: ISO/IEC 14496-12:2015, 6.2.2.
    """
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV 18 raises an error if side data have no name, such as the EXIF data of Motion JPEG.
        # In this case, only the angle of the matrix is available.
        angle = math.radians(frame.rotation)
        return math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
    if matrix is None:
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    return a, b, c, d


def _turn_upright(image: Image, matrix: tuple[float, float, float, float]) -> Image:
    """Apply a display matrix that is rounded to quarter turns. Height and width may change."""
    a, b, c, d = matrix
    if abs(a) + abs(d) < abs(b) + abs(c):
        image = image.swapaxes(0, 1)
        a, d = c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _grey(frame: Any, width: int, height: int) -> Image:
    if frame.format.name not in _LUMA_FIRST:
        frame = frame.reformat(format="yuv420p", threads=1)
    plane = frame.planes[0]
    rows: Image = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size]
    grey = rows.reshape(plane.height, plane.line_size)[:, : plane.width]
    if grey.shape != (height, width):
        return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA))
    return grey.copy()  # the decoder reuses the memory of the frame


def _rgb(frame: Any, width: int, height: int) -> Image:
    image: Image = frame.reformat(
        width=width, height=height, format="rgb24", interpolation="AREA", threads=1
    ).to_ndarray()
    return image
