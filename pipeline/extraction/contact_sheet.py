"""The contact sheet: frames with boxes, aligned crops and flow, for a person to look at.

Shape letters: P side of a crop.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.extraction.observation import FaceStep, Observation
from pipeline.extraction.video.images import Picture

_TILE_PX: Final = 160
_MARGIN_PX: Final = 4
_TITLE_PX: Final = 26
_LABEL_PX: Final = 18
_MAX_COLUMNS: Final = 16
_FASTEST: Final = 2.0
"""Speed, in face widths a second, at which the colour of flow is full."""


def draw_strip(title: str, seen: Observation) -> Picture:
    """Return the rows of one clip, BGR: frames, crops, and flow (hue is the direction)."""
    columns = [
        np.vstack([_frame(step, seen.faces[number]), _crop(step), _flow(step)])
        for number, step in enumerate(seen.steps[:_MAX_COLUMNS])
        if step is not None
    ]
    missing = sum(step is None for step in seen.steps[:_MAX_COLUMNS])
    rows = np.hstack(columns)
    header = np.full((_TITLE_PX, rows.shape[1], 3), 255, dtype=np.uint8)
    note = f"   ({missing} steps without the face)" if missing else ""
    # OpenCV's fonts are ASCII; a name in another script would be a row of question marks.
    text = title.encode("ascii", "replace").decode() + note
    cv2.putText(header, text, (6, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (30, 30, 30), 1, cv2.LINE_AA)
    strip: Picture = np.vstack([header, rows])
    return strip


def stack_strips(strips: Sequence[Picture]) -> Picture:
    """Return one picture of all strips, one below the other."""
    width = max(strip.shape[1] for strip in strips)
    padded = [
        cv2.copyMakeBorder(
            strip, 0, _MARGIN_PX, 0, width - strip.shape[1], cv2.BORDER_CONSTANT, value=(255,) * 3
        )
        for strip in strips
    ]
    sheet: Picture = np.vstack(padded)
    return sheet


def flow_colours(speed: FloatArray) -> Picture:
    """Return a speed field (P, P, 2) in colours, BGR: direction as hue, speed as depth."""
    magnitude, angle = cv2.cartToPolar(speed[..., 0], speed[..., 1], angleInDegrees=True)
    hsv = np.full((*magnitude.shape, 3), 255, dtype=np.uint8)
    hsv[..., 0] = angle / 2  # OpenCV counts hues in steps of two degrees
    hsv[..., 1] = np.clip(magnitude / _FASTEST, 0, 1) * 255
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), dtype=np.uint8)


def _frame(step: FaceStep, faces: Sequence[object]) -> Picture:
    picture = np.ascontiguousarray(step.picture[..., ::-1])
    left, top, width, height = (step.face.box * max(picture.shape[:2])).round().astype(int)
    cv2.rectangle(picture, (left, top), (left + width, top + height), (80, 220, 60), 2)
    tile = np.vstack([_on_tile(picture), np.full((_LABEL_PX, _TILE_PX, 3), 255, dtype=np.uint8)])
    label = f"{step.seconds:.1f} s" + (f"  {len(faces)} faces" if len(faces) > 1 else "")
    cv2.putText(
        tile, label, (4, len(tile) - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (40,) * 3, 1, cv2.LINE_AA
    )
    return tile


def _crop(step: FaceStep) -> Picture:
    return _on_tile(cv2.cvtColor(step.crop, cv2.COLOR_GRAY2BGR))


def _flow(step: FaceStep) -> Picture:
    if step.speeds is None:
        return np.full((_TILE_PX, _TILE_PX, 3), 230, dtype=np.uint8)
    return _on_tile(flow_colours(step.speeds[0]))


def _on_tile(picture: Picture) -> Picture:
    """Return a picture as wide as a tile, but no higher than that, on white."""
    longest = _TILE_PX - _MARGIN_PX
    scale = longest / max(picture.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=method)
    height, width = picture.shape[:2]
    tile = np.full((height + _MARGIN_PX, _TILE_PX, 3), 255, dtype=np.uint8)
    left = (_TILE_PX - width) // 2
    tile[:height, left : left + width] = picture
    return tile
