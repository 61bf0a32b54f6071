"""Cut upright face crops from images. Eyes and mouth have the same place in every crop.

A similarity transform (rotation, scale, shift) is fitted to the eyes and mouth corners by least
squares. All frames of a flow window are cut with one transform. Otherwise the flow would contain
the jitter of the detector. In real clips, this jitter is 3.3 times as large as the true motion.

Shape letters: P side of the crop.
"""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.arrays import FloatArray
from pipeline.extraction.video.images import Image

FACE_SHARE: Final = 0.7
"""Face width / crop width. The face width is 2.2 times the distance between the eyes."""

_TEMPLATE: Final = np.array([[0.34, 0.40], [0.66, 0.40], [0.38, 0.73], [0.62, 0.73]])
"""Positions of eyes and mouth corners of a frontal face, as shares of the crop side."""

_USED: Final = (0, 1, 3, 4)
"""Indices of the landmarks for the fit. The nose tip is excluded: it moves most in head turns."""


def crop_transform(landmarks: FloatArray, crop_px: int) -> FloatArray:
    """Return the similarity transform from an image to an aligned crop.

    Args:
        landmarks: Eyes, nose and mouth corners in image pixels, shape (5, 2).
        crop_px: Side of the crop P, in pixels.

    Returns:
        Matrix for `cv2.warpAffine`, shape (2, 3).

    Reference: Umeyama, 1991 (doi:10.1109/34.88573). Here, one complex factor represents rotation
        and scale.
    """
    source = _complex(landmarks[list(_USED)])
    target = _complex(_TEMPLATE * crop_px)
    centred = source - source.mean()
    factor = np.vdot(centred, target - target.mean()) / np.vdot(centred, centred).real
    shift = target.mean() - factor * source.mean()
    return np.array(
        [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]
    )


def cut(image: Image, transform: FloatArray, crop_px: int) -> Image:
    """Return the crop, shape (P, P) or (P, P, 3). Pixels outside the image are black."""
    scale = float(np.sqrt(np.linalg.det(transform[:, :2])))
    if scale < 0.5:  # bilinear interpolation would skip pixels
        image, transform = _shrink(image, transform, scale, crop_px)
    crop: Image = cv2.warpAffine(image, transform, (crop_px, crop_px), flags=cv2.INTER_LINEAR)
    return crop


def to_face_widths(flow: FloatArray, frames_per_second: float) -> FloatArray:
    """Convert flow (P, P, 2) from crop pixels per frame to face widths per second."""
    face_px = FACE_SHARE * flow.shape[1]
    return np.asarray(flow * (frames_per_second / face_px), dtype=np.float32)


def _shrink(
    image: Image, transform: FloatArray, scale: float, crop_px: int
) -> tuple[Image, FloatArray]:
    corners = np.array([[0, crop_px, 0, crop_px], [0, 0, crop_px, crop_px]], dtype=np.float64)
    in_image = np.linalg.solve(transform[:, :2], corners - transform[:, 2:])
    ends = np.array([image.shape[1], image.shape[0]])
    left, top = np.clip(np.floor(in_image.min(axis=1)) - 2, 0, ends - 1).astype(int)
    outer = np.ceil(in_image.max(axis=1)) + 2
    right, bottom = np.clip(outer, [left + 1, top + 1], ends).astype(int)
    width, height = right - left, bottom - top
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    smaller: Image = cv2.resize(image[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
    across, down = width / size[0], height / size[1]
    # Pixel centres have integer coordinates, so the centre of the first k pixels is (k - 1) / 2.
    x, y = left + (across - 1) / 2, top + (down - 1) / 2
    to_image = np.array([[across, 0.0, x], [0.0, down, y], [0.0, 0.0, 1.0]])
    return smaller, transform @ to_image


def _complex(points: FloatArray) -> NDArray[np.complexfloating[Any, Any]]:
    return np.asarray(points[:, 0] + 1j * points[:, 1])
