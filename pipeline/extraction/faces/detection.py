"""Detect faces with MTCNN, in batches of images.

Reference: Zhang, Zhang, Li & Qiao, 2016 (doi:10.1109/LSP.2016.2603342). Weights: package `mtcnn`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.extraction.video.images import Image

_BATCH: Final = 16
"""Number of images per batch. Larger batches are not faster and need more memory."""

_MIN_SIDE: Final = 24
"""Minimum image side in pixels. MTCNN cannot process smaller images."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Face:
    """One detected face. Coordinates are shares of the longer image side."""

    box: FloatArray
    """Left, top, width, height, shape (4,)."""
    landmarks: FloatArray
    """Left eye, right eye, nose, left and right mouth corner as (x, y), shape (5, 2)."""
    confidence: float
    """Confidence of the detector, in [0, 1]."""

    @property
    def centre(self) -> FloatArray:
        """Centre of the box, shape (2,)."""
        return self.box[:2] + self.box[2:] / 2

    @property
    def size(self) -> float:
        """Side of a square with the area of the box."""
        return float(np.sqrt(self.box[2] * self.box[3]))


class FaceDetector:
    """Detector for faces of at least 20 pixels. `min_confidence` is in [0, 1]."""

    def __init__(self, *, min_confidence: float) -> None:
        from mtcnn import MTCNN
        from mtcnn.stages import StageONet, StagePNet, StageRNet

        stages = [_compile_stage(stage) for stage in (StagePNet, StageRNet, StageONet)]
        self._detector = MTCNN(stages=stages, device="CPU:0")
        self._min_confidence = min_confidence

    def __call__(self, images: Sequence[Image]) -> list[list[Face]]:
        """Return the faces in each RGB image. All images must have the same size."""
        if not images or min(images[0].shape[:2]) < _MIN_SIDE:
            return [[] for _ in images]
        faces: list[list[Face]] = []
        for start in range(0, len(images), _BATCH):
            batch = list(images[start : start + _BATCH])
            # JSON output is not used, because MTCNN would round landmarks to whole pixels.
            rows = self._detector.detect_faces(batch, box_format="xyxy", output_type="numpy")
            rows = np.atleast_2d(rows)
            scale = 1.0 / max(batch[0].shape[:2])
            by_image = (rows[rows[:, 0] == number] for number in range(len(batch)))
            faces += [self._faces(each, scale) for each in by_image]
        return faces

    def _faces(self, rows: FloatArray, scale: float) -> list[Face]:
        # Columns: image number, left, top, right, bottom, confidence, x of 5 landmarks, their y.
        faces = []
        for row in rows.astype(np.float64):
            left, top, right, bottom = row[1:5] * scale
            box = np.array([left, top, right - left, bottom - top])
            if row[5] >= self._min_confidence and box[2:].min() > 0:
                landmarks = row[6:16].reshape(2, 5).T * scale
                faces.append(Face(box=box, landmarks=landmarks, confidence=float(row[5])))
        return faces


def _compile_stage(stage: Any) -> Any:
    # Compiled networks are twice as fast as uncompiled ones. Their outputs are identical.
    import tensorflow as tf

    class CompiledStage(stage):
        def __init__(self) -> None:
            super().__init__()
            # Images of different sizes use one traced graph.
            self._model = tf.function(self.model, reduce_retracing=True)

    return CompiledStage
