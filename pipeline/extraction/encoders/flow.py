"""Optical flow between aligned crops: how far each point of a face moves.

Shape letters: L pairs, P side of a crop.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.extraction.faces.alignment import FACE_SHARE
from pipeline.extraction.video.images import Picture


class FlowEstimator:
    """Dense inverse search at its medium preset, half as costly as Farneback's and nearer.

    Reference: Kroeger, Timofte, Dai & Van Gool, 2016 (arXiv:1603.03590).
    """

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, crops: Sequence[Picture], seconds: FloatArray) -> FloatArray:
        """Return the speed of every point between successive crops.

        Args:
            crops: L + 1 grey crops of one window, cut by one transform.
            seconds: When they were taken, increasing, shape (L + 1,).

        Returns:
            Right and down, in face widths a second, float32, shape (L, P, P, 2): frame rate
            and the size of the face drop out.
        """
        gaps = np.diff(seconds)
        return np.stack(
            [
                to_speed(self._search.calc(before, after, None), 1.0 / gap)
                for before, after, gap in zip(crops[:-1], crops[1:], gaps, strict=True)
            ]
        )


def to_speed(flow: FloatArray, frames_per_second: float) -> FloatArray:
    """Return flow in pixels of a crop a frame, shape (P, P, 2), as face widths a second."""
    face_px = FACE_SHARE * flow.shape[1]
    return np.asarray(flow * (frames_per_second / face_px), dtype=np.float32)
