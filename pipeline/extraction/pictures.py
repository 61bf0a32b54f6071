"""From a decoded frame to upright pictures of a bounded size.

Shape letters: H, W height and width of the picture.
"""

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


def take_pictures(
    frame: Any, *, pixel_aspect: float, small_px: int | None, with_colour: bool
) -> FramePictures:
    """Return the pictures of a frame, turned and stretched as a player shows them.

    Args:
        frame: An `av.VideoFrame`.
        pixel_aspect: Width of a pixel over its height.
        small_px: Longer side of the small picture; None for none.
        with_colour: Whether a full-size RGB picture is wanted.
    """
    width, height = shown_size(frame.width, frame.height, pixel_aspect, MAX_PX)
    # The angle is that of the turn to the left which puts the frame upright.
    turns = round(frame.rotation / 90) % 4
    small = colour = None
    if small_px is not None:
        small_width, small_height = shown_size(frame.width, frame.height, pixel_aspect, small_px)
        small = _turned(_rgb(frame, small_width, small_height), turns)
    if with_colour:
        colour = _turned(_rgb(frame, width, height), turns)
    grey = _turned(_grey(frame, width, height), turns)
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


def _turned(picture: Picture, turns: int) -> Picture:
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture
