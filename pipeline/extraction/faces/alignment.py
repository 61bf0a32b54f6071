"""Cut a face out upright: eyes and mouth come to the same place in every crop.

A crop is cut by one similarity transform (turn, scale, shift), found by least squares from
the two eyes and the two mouth corners. All frames of one flow measurement share one
transform: with a window of its own for each frame, flow measures how the detector trembles
(3.3 times the motion there is, on real clips).

Shape letters: P side of the crop.
"""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.arrays import FloatArray
from pipeline.extraction.video.images import Picture

FACE_SHARE: Final = 0.7
"""Width of a face in a crop, as a share of the crop's: 2.2 times the distance of the eyes."""

_TEMPLATE: Final = np.array([[0.34, 0.40], [0.66, 0.40], [0.38, 0.73], [0.62, 0.73]])
"""Where eyes and mouth corners of a frontal face lie in a crop, as shares of its side."""

_USED: Final = (0, 1, 3, 4)
"""Landmarks that are used; the nose tip moves most when a head turns."""


def crop_transform(landmarks: FloatArray, crop_px: int) -> FloatArray:
    """Return the similarity transform that takes a face to its place in a crop.

    Args:
        landmarks: Eyes, nose, mouth corners in pixels of the picture, shape (5, 2).
        crop_px: Side of the crop P, in pixels.

    Returns:
        Shape (2, 3), from the picture to the crop, for `cv2.warpAffine`.

    Reference: Umeyama, 1991 (doi:10.1109/34.88573); in the plane, written with complex
        numbers, turn and scale are one factor.
    """
    source = _complex(landmarks[list(_USED)])
    target = _complex(_TEMPLATE * crop_px)
    centred = source - source.mean()
    factor = np.vdot(centred, target - target.mean()) / np.vdot(centred, centred).real
    shift = target.mean() - factor * source.mean()
    return np.array(
        [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]
    )


def cut(picture: Picture, transform: FloatArray, crop_px: int) -> Picture:
    """Return the crop of a picture, shape (P, P) or (P, P, 3); outside of it is black."""
    scale = float(np.sqrt(np.linalg.det(transform[:, :2])))
    if scale < 0.5:  # bilinear sampling would skip pixels
        picture, transform = _shrunk(picture, transform, scale, crop_px)
    crop: Picture = cv2.warpAffine(picture, transform, (crop_px, crop_px), flags=cv2.INTER_LINEAR)
    return crop


def _shrunk(
    picture: Picture, transform: FloatArray, scale: float, crop_px: int
) -> tuple[Picture, FloatArray]:
    """Return the part of a picture under the crop, averaged down, and its transform."""
    corners = np.array([[0, crop_px, 0, crop_px], [0, 0, crop_px, crop_px]], dtype=np.float64)
    there = np.linalg.solve(transform[:, :2], corners - transform[:, 2:])
    ends = np.array([picture.shape[1], picture.shape[0]])
    left, top = np.clip(np.floor(there.min(axis=1)) - 2, 0, ends - 1).astype(int)
    right, bottom = np.clip(np.ceil(there.max(axis=1)) + 2, [left + 1, top + 1], ends).astype(int)
    width, height = right - left, bottom - top
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    smaller: Picture = cv2.resize(
        picture[top:bottom, left:right], size, interpolation=cv2.INTER_AREA
    )
    across, down = width / size[0], height / size[1]
    # Pixel centres lie at whole numbers, so a pixel that covers k others lies at (k - 1) / 2.
    to_picture = np.array(
        [
            [across, 0.0, left + (across - 1) / 2],
            [0.0, down, top + (down - 1) / 2],
            [0.0, 0.0, 1.0],
        ]
    )
    return smaller, transform @ to_picture


def _complex(points: FloatArray) -> NDArray[np.complexfloating[Any, Any]]:
    return np.asarray(points[:, 0] + 1j * points[:, 1])
