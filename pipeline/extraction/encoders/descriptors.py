"""Encoders without network weights: HOG for face crops, rectified flow for motion.

Shape letters: T time steps, L flow fields per time step, P side of a crop, D feature width.
"""

from typing import Any, Final

import cv2
import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.extraction.video.images import Image

_GRID: Final = 8
"""Number of cells per side of a crop."""

_ORIENTATIONS: Final = 8


class HogEncoder:
    """Encoder with histograms of oriented gradients: 8 x 8 cells, 8 orientations, 512 features.

    Each block of 2 x 2 cells is normalised by the clipped L2 norm. Blocks do not overlap.

    Args:
        crop_px: Side of the crops, a multiple of 16.

    Reference: Dalal & Triggs, 2005 (doi:10.1109/CVPR.2005.177).
    """

    uses_colour: Final = False
    width: Final = _GRID * _GRID * _ORIENTATIONS

    def __init__(self, *, crop_px: int) -> None:
        self.crop_px = crop_px
        cell = (crop_px // _GRID,) * 2
        block = (2 * cell[0],) * 2
        self._hog = cv2.HOGDescriptor((crop_px, crop_px), block, block, cell, _ORIENTATIONS)

    def describe(self) -> dict[str, Any]:
        """Return the settings that determine the features."""
        return {"encoder": "hog", "cells": _GRID, "orientations": _ORIENTATIONS, "block": 2}

    def __call__(self, crops: Image) -> FloatArray:
        """Return histograms in [0, 1], shape (T, D), for grey crops, shape (T, P, P)."""
        return np.stack([np.ravel(self._hog.compute(crop)) for crop in crops])


class RectifiedFlowEncoder:
    """Encoder with the mean flow in 8 x 8 cells and 4 directions: right, down, left, up.

    The directions are separated before the flow in a cell is averaged. Otherwise opposite motions,
    for example of opening lips, would cancel out. The L fields of a time step are averaged.

    Reference: Efros, Berg, Mori & Malik, 2003 (doi:10.1109/ICCV.2003.1238420), half-wave
        rectified channels.
    """

    width: Final = _GRID * _GRID * 4

    def describe(self) -> dict[str, Any]:
        """Return the settings that determine the features."""
        return {"encoder": "rectified_flow", "cells": _GRID}

    def __call__(self, speeds: FloatArray) -> FloatArray:
        """Return non-negative features, shape (T, D), for flow fields, shape (T, L, P, P, 2)."""
        return np.stack([np.mean([_grid(field) for field in step], axis=0) for step in speeds])


def _grid(field: FloatArray) -> FloatArray:
    rectified = np.concatenate([np.maximum(field, 0), np.maximum(-field, 0)], axis=-1)
    cells = cv2.resize(rectified, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    return np.asarray(cells, dtype=np.float32).ravel()
