"""How good the picture of a face is: numbers that a researcher filters clips by.

Shape letters: T steps, P side of a crop.
"""

from typing import Final

import cv2
import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.extraction.video.images import Picture

MEASURED_PX: Final = 112
"""Side that crops are brought to first, so that measures of different sizes compare."""


def sharpness(crop: Picture) -> float:
    """Return the variance of the Laplacian of a grey crop (P, P); blurred faces have less.

    Reference: Pech-Pacheco et al., 2000 (doi:10.1109/ICPR.2000.903548).
    """
    if crop.shape[0] != MEASURED_PX:
        crop = cv2.resize(crop, (MEASURED_PX, MEASURED_PX), interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(crop, cv2.CV_32F).var())


def brightness(crop: Picture) -> float:
    """Return the mean of a grey crop (P, P), in [0, 1]."""
    return float(crop.mean()) / 255.0


def mean_speed(speeds: FloatArray) -> float:
    """Return how fast points move on average, in the unit of `speeds` (..., 2)."""
    return float(np.linalg.norm(speeds, axis=-1).mean())
