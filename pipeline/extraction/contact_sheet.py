"""Draw the contact sheet for visual checks: face boxes, aligned crops and optical flow."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.extraction.observation import FaceStep, Observation
from pipeline.extraction.video.images import Image

_TILE_PX: Final = 160
_MARGIN_PX: Final = 4
_TITLE_PX: Final = 26
_LABEL_PX: Final = 18
_MAX_COLUMNS: Final = 16
_MAX_SPEED: Final = 2.0
"""Speed that is drawn with full saturation, in face widths per second."""


def draw_strip(title: str, observed: Observation) -> Image:
    """Draw the frames, crops and flow of one clip as a BGR image."""
    shown = observed.steps[:_MAX_COLUMNS]
    columns = [
        np.vstack([_frame(step, len(faces)), _fit_tile(cv2.merge([step.crop] * 3)), _flow(step)])
        for step, faces in zip(shown, observed.faces, strict=False)
        if step is not None
    ]
    rows = np.hstack(columns)
    num_missing = len(shown) - len(columns)
    header = np.full((_TITLE_PX, rows.shape[1], 3), 255, dtype=np.uint8)
    # OpenCV fonts contain only ASCII characters, so other characters are replaced.
    text = title.encode("ascii", "replace").decode()
    text += f"   ({num_missing} steps without face)" if num_missing else ""
    cv2.putText(header, text, (6, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (30, 30, 30), 1, cv2.LINE_AA)
    strip: Image = np.vstack([header, rows])
    return strip


def stack_strips(strips: Sequence[Image]) -> Image:
    """Return one image with all strips, one below the other."""
    width = max(strip.shape[1] for strip in strips)
    padded = [
        cv2.copyMakeBorder(
            strip, 0, _MARGIN_PX, 0, width - strip.shape[1], cv2.BORDER_CONSTANT, value=(255,) * 3
        )
        for strip in strips
    ]
    sheet: Image = np.vstack(padded)
    return sheet


def flow_colours(speeds: FloatArray) -> Image:
    """Draw flow (P, P, 2) in BGR. The hue shows the direction; the saturation shows the speed."""
    magnitude, angle = cv2.cartToPolar(speeds[..., 0], speeds[..., 1], angleInDegrees=True)
    hsv = np.full((*magnitude.shape, 3), 255, dtype=np.uint8)
    hsv[..., 0] = angle / 2  # one unit of an OpenCV hue is two degrees
    hsv[..., 1] = np.clip(magnitude / _MAX_SPEED, 0, 1) * 255
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), dtype=np.uint8)


def _frame(step: FaceStep, num_faces: int) -> Image:
    image = np.ascontiguousarray(step.image[..., ::-1])
    left, top, width, height = (step.face.box * max(image.shape[:2])).round().astype(int)
    cv2.rectangle(image, (left, top), (left + width, top + height), (80, 220, 60), 2)
    tile = np.vstack([_fit_tile(image), np.full((_LABEL_PX, _TILE_PX, 3), 255, dtype=np.uint8)])
    label = f"{step.seconds:.1f} s" + (f"  {num_faces} faces" if num_faces > 1 else "")
    cv2.putText(
        tile, label, (4, len(tile) - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (40,) * 3, 1, cv2.LINE_AA
    )
    return tile


def _flow(step: FaceStep) -> Image:
    if step.speeds is None:
        return np.full((_TILE_PX, _TILE_PX, 3), 230, dtype=np.uint8)
    return _fit_tile(flow_colours(step.speeds[0]))


def _fit_tile(image: Image) -> Image:
    longer_side = _TILE_PX - _MARGIN_PX
    scale = longer_side / max(image.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=method)
    height, width = image.shape[:2]
    tile = np.full((height + _MARGIN_PX, _TILE_PX, 3), 255, dtype=np.uint8)
    left = (_TILE_PX - width) // 2
    tile[:height, left : left + width] = image
    return tile
