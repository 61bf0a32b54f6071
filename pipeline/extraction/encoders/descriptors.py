"""Descriptors of crops and of flow that need no training and no download.

Shape letters: T steps, L flow fields of a step, P side of a crop, D width.
"""

from typing import Any, Final

import cv2
import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.extraction.video.images import Picture

_GRID: Final = 8
"""Cells along each side of a crop."""

_ORIENTATIONS: Final = 8


class HogEncoder:
    """Histograms of oriented gradients: 8 x 8 cells of 8 orientations, 512 wide.

    Contrast is normalised over squares of 2 x 2 cells that do not overlap, by the clipped
    L2 norm.

    Args:
        crop_px: Side of the crops, a multiple of 16.

    Reference: Dalal & Triggs, 2005 (doi:10.1109/CVPR.2005.177).
    """

    wants_colour: Final = False

    def __init__(self, *, crop_px: int) -> None:
        self.crop_px = crop_px
        cell = crop_px // _GRID
        self._hog = cv2.HOGDescriptor(
            (crop_px, crop_px),
            (2 * cell, 2 * cell),
            (2 * cell, 2 * cell),
            (cell, cell),
            _ORIENTATIONS,
        )

    @property
    def width(self) -> int:
        """The number of features D."""
        return _GRID * _GRID * _ORIENTATIONS

    def describe(self) -> dict[str, Any]:
        """Return what decides the values."""
        return {"encoder": "hog", "cells": _GRID, "orientations": _ORIENTATIONS, "block": 2}

    def __call__(self, crops: Picture) -> FloatArray:
        """Return the histograms of grey crops (T, P, P), shape (T, D), each in [0, 1]."""
        return np.stack([np.ravel(self._hog.compute(crop)) for crop in crops])


class RectifiedFlowEncoder:
    """Flow on an 8 x 8 grid, rightward, leftward, downward and upward apart: 256 wide.

    Splitting each direction before the average keeps opposite motions within a cell, such as
    lips that part, from cancelling out. Several fields of a step are averaged.

    Reference: Efros, Berg, Mori & Malik, 2003 (doi:10.1109/ICCV.2003.1238420), half-wave
        rectified channels.
    """

    @property
    def width(self) -> int:
        """The number of features D."""
        return _GRID * _GRID * 4

    def describe(self) -> dict[str, Any]:
        """Return what decides the values."""
        return {"encoder": "rectified_flow", "cells": _GRID}

    def __call__(self, speeds: FloatArray) -> FloatArray:
        """Return the grids of flow (T, L, P, P, 2) in its unit, shape (T, D), each at least 0."""
        return np.stack([np.mean([_grid(field) for field in step], axis=0) for step in speeds])


def _grid(speed: FloatArray) -> FloatArray:
    rectified = np.concatenate([np.maximum(speed, 0), np.maximum(-speed, 0)], axis=-1)
    cells = cv2.resize(rectified, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    return np.asarray(cells, dtype=np.float32).ravel()
