"""Find the faces in pictures with MTCNN, many pictures at a time.

Reference: Zhang, Zhang, Li & Qiao, 2016 (doi:10.1109/LSP.2016.2603342); weights of the
package `mtcnn`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.extraction.video.images import Picture

_BATCH: Final = 16
"""Pictures at a time: more are no faster, and memory grows with them."""

_MIN_SIDE: Final = 24
"""A picture narrower than this, in pixels, holds no face that could be found."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Face:
    """One face in one picture; lengths are shares of the picture's longer side."""

    box: FloatArray
    """Left, top, width, height, shape (4,)."""
    landmarks: FloatArray
    """Eye, eye, nose, mouth corner, mouth corner, as (x, y); left before right; shape (5, 2)."""
    confidence: float
    """How sure the detector is, in [0, 1]."""

    @property
    def centre(self) -> FloatArray:
        """The middle of the box, shape (2,)."""
        return self.box[:2] + self.box[2:] / 2

    @property
    def size(self) -> float:
        """The side of a square as large as the box."""
        return float(np.sqrt(self.box[2] * self.box[3]))


class FaceDetector:
    """Finds faces of at least 20 pixels.

    Args:
        min_confidence: Least confidence of a detection.
    """

    def __init__(self, *, min_confidence: float) -> None:
        from mtcnn import MTCNN
        from mtcnn.stages import StageONet, StagePNet, StageRNet

        stages = [_in_graph(stage) for stage in (StagePNet, StageRNet, StageONet)]
        self._detector = MTCNN(stages=stages, device="CPU:0")
        self._min_confidence = min_confidence

    def __call__(self, pictures: Sequence[Picture]) -> list[list[Face]]:
        """Return the faces of each RGB picture; all pictures have the same size."""
        if not pictures or min(pictures[0].shape[:2]) < _MIN_SIDE:
            return [[] for _ in pictures]
        faces: list[list[Face]] = []
        for start in range(0, len(pictures), _BATCH):
            chunk = list(pictures[start : start + _BATCH])
            # As JSON, the package would round landmarks to whole pixels of a small picture.
            rows = self._detector.detect_faces(chunk, box_format="xyxy", output_type="numpy")
            rows = np.atleast_2d(rows)
            scale = 1.0 / max(chunk[0].shape[:2])
            by_picture = (rows[rows[:, 0] == number] for number in range(len(chunk)))
            faces += [self._faces(each, scale) for each in by_picture]
        return faces

    def _faces(self, rows: FloatArray, scale: float) -> list[Face]:
        """Read rows of picture, left, top, right, bottom, confidence, 5 x, 5 y, in pixels."""
        faces = []
        for row in rows.astype(np.float64):
            left, top, right, bottom = row[1:5] * scale
            box = np.array([left, top, right - left, bottom - top])
            if row[5] >= self._min_confidence and box[2:].min() > 0:
                landmarks = row[6:16].reshape(2, 5).T * scale
                faces.append(Face(box=box, landmarks=landmarks, confidence=float(row[5])))
        return faces


def _in_graph(stage: Any) -> Any:
    """Return a stage of MTCNN whose network runs as a graph: the same bits in half the time."""
    import tensorflow as tf

    class GraphStage(stage):
        def __init__(self) -> None:
            super().__init__()
            # Pictures of many sizes share a trace once a few have been seen.
            self._model = tf.function(self.model, reduce_retracing=True)

    return GraphStage
