"""Read tables of py-feat, which have a row per face.

A frame may have several faces, and their order may change. Faces of successive frames are linked
into a track if their rectangles overlap. Only the track with the largest sum of areas is read, so a
permanent face is preferred to a larger face that passes by. A table with at most one face per
frame is read as it is.

Reference: Cheong et al., 2023 (doi:10.1007/s42761-023-00191-4).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.data.frames import ClipTable, Format, Frames

_MIN_OVERLAP: Final = 0.3
"""Minimum intersection over union of the same face in two successive frames."""

_RECTANGLE: Final = ("facerectx", "facerecty", "facerectwidth", "facerectheight")


def _matches(columns: Sequence[str]) -> bool:
    return {*_RECTANGLE} <= {name.lower() for name in columns}


def _read(table: ClipTable) -> Frames:
    numbers = table.others.get("frame")
    if numbers is not None and len(np.unique(numbers)) < len(numbers):
        boxes = np.stack([table.others[name] for name in _RECTANGLE], axis=1)
        table = table.select(_main_track(numbers, boxes))
    frames = table.frames()
    # `approx_time` has whole seconds only. Therefore the frame numbers are used instead.
    if "fps" in table.others and frames.frame_numbers is not None and frames.seconds is None:
        return replace(frames, seconds=frames.frame_numbers / table.others["fps"])
    return frames


def _main_track(numbers: FloatArray, boxes: FloatArray) -> IntArray:
    """Return the rows of the main face; `boxes` has x, y, width and height, shape (F, 4)."""
    tracks: list[list[int]] = []
    for number in np.unique(numbers):
        rows = np.flatnonzero((numbers == number) & np.isfinite(boxes).all(axis=1))
        ends = np.array([track[-1] for track in tracks], dtype=np.intp)
        overlaps = _overlaps(boxes[ends], boxes[rows])
        free = [True] * len(rows)
        for pair in np.argsort(-overlaps, axis=None, kind="stable"):
            end, index = divmod(int(pair), len(rows))
            if overlaps[end, index] < _MIN_OVERLAP:
                break
            if free[index] and tracks[end][-1] == ends[end]:
                tracks[end].append(int(rows[index]))
                free[index] = False
        tracks.extend([int(row)] for row, is_free in zip(rows, free, strict=True) if is_free)
    areas = boxes[:, 2] * boxes[:, 3]
    return np.array(max(tracks, key=lambda track: areas[track].sum(), default=[]), dtype=np.intp)


def _overlaps(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the intersection over union of each pair of boxes, (f, 4) and (s, 4) -> (f, s)."""
    a, b = first[:, np.newaxis], second[np.newaxis]
    starts = np.maximum(a[..., :2], b[..., :2])
    ends = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.maximum(ends - starts, 0).prod(axis=-1)
    union = a[..., 2:].prod(axis=-1) + b[..., 2:].prod(axis=-1) - shared
    return np.asarray(shared / union)


PYFEAT: Final = Format(
    name="pyfeat",
    description="py-feat",
    default_columns=(
        *("AU*", "anger", "disgust", "fear", "happiness", "happy", "sadness", "sad", "surprise"),
        *("neutral", "Pitch", "Roll", "Yaw"),
    ),
    number_columns=(*_RECTANGLE, "fps"),
    matches=_matches,
    read=_read,
)
