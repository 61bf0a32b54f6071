"""From a decoded frame to upright pictures of a bounded size.

Shape letters: H, W height and width of the picture.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""Grey, shape (H, W), or RGB, shape (H, W, 3)."""

MAX_PX: Final = 1280
"""Longer side of the pictures that crops are cut from: memory does not grow with 4K video."""

_LUMA_FIRST: Final = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12")
"""Pixel formats whose first plane is the brightness, a byte a pixel."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FramePictures:
    """What is kept of one frame."""

    grey: Picture
    """Brightness, shape (H, W)."""
    small: Picture | None = None
    """RGB for the detector, with the same proportions, shape (h, w, 3)."""
    colour: Picture | None = None
    """RGB, shape (H, W, 3), for networks that look at colour."""


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """One of the eight ways to show a coded frame: a transposition, then reflections."""

    transposes: bool = False
    """Whether rows become columns."""
    reverses_rows: bool = False
    """Whether top and bottom are exchanged, after the transposition."""
    reverses_columns: bool = False
    """Whether left and right are exchanged, after the transposition."""

    def apply(self, picture: Picture) -> Picture:
        """Return the picture as it is shown, shape (H, W, ...) or (W, H, ...)."""
        if self.transposes:
            picture = picture.swapaxes(0, 1)
        if self.reverses_rows:
            picture = picture[::-1]
        if self.reverses_columns:
            picture = picture[:, ::-1]
        return np.ascontiguousarray(picture)


def read_orientation(frame: Any) -> Orientation:
    """Return the orientation by the display matrix of a frame, to the nearest quarter turn.

    The matrix maps a coded point (p, q) to (a p + c q, b p + d q), right and down.

    Args:
        frame: An `av.VideoFrame`.

    Reference: ISO/IEC 14496-12:2015, 6.2.2.
    """
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV 18 raises it for side data that it has no name for, such as the EXIF data of
        # Motion JPEG. Then only the angle of the matrix can be read.
        angle = math.radians(frame.rotation)
        a, b, c, d = math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
    else:
        if matrix is None:
            return Orientation()
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(reverses_rows=d < 0, reverses_columns=a < 0)
    return Orientation(transposes=True, reverses_rows=b < 0, reverses_columns=c < 0)


def take_pictures(
    frame: Any, *, pixel_aspect: float, small_px: int | None, with_colour: bool
) -> FramePictures:
    """Return the pictures of a frame, oriented and stretched as a player shows them.

    Args:
        frame: An `av.VideoFrame`.
        pixel_aspect: Width of a pixel over its height.
        small_px: Longer side of the small picture; None for none.
        with_colour: Whether a full-size RGB picture is wanted.
    """
    width, height = shown_size(frame.width, frame.height, pixel_aspect, MAX_PX)
    orientation = read_orientation(frame)
    small = colour = None
    if small_px is not None:
        small_width, small_height = shown_size(frame.width, frame.height, pixel_aspect, small_px)
        small = orientation.apply(_rgb(frame, small_width, small_height))
    if with_colour:
        colour = orientation.apply(_rgb(frame, width, height))
    grey = orientation.apply(_grey(frame, width, height))
    return FramePictures(grey=grey, small=small, colour=colour)


def shown_size(width: int, height: int, pixel_aspect: float, max_px: int) -> tuple[int, int]:
    """Return width and height with square pixels, the longer one at most `max_px`."""
    true_width = width * pixel_aspect
    scale = min(1.0, max_px / max(true_width, height))
    return max(1, round(true_width * scale)), max(1, round(height * scale))


def _grey(frame: Any, width: int, height: int) -> Picture:
    if frame.format.name not in _LUMA_FIRST:
        frame = frame.reformat(format="yuv420p", threads=1)
    plane = frame.planes[0]
    rows: Picture = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size]
    grey = rows.reshape(plane.height, plane.line_size)[:, : plane.width]
    if grey.shape != (height, width):
        return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA))
    return grey.copy()  # the frame's memory goes back to the decoder


def _rgb(frame: Any, width: int, height: int) -> Picture:
    picture: Picture = frame.reformat(
        width=width, height=height, format="rgb24", interpolation="AREA", threads=1
    ).to_ndarray()
    return picture
