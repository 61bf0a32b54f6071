"""Follow one face through a clip: the largest one that stays.

Detections of successive steps are linked into tracks where they are near each other and
alike in size. The face of the clip is the track with the largest sum of sizes: a face that
is near the camera for long wins over a larger one that passes by, and over many small ones.
Where that face is not seen, the step is empty; no other face takes its place.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from pipeline.extraction.faces.detection import Face

MAX_DISTANCE: Final = 2.0
"""Farthest that a face moves from step to step, in face sizes; steps may be a second apart."""

MAX_RATIO: Final = 2.0
"""Most that its size changes from step to step; cuts within a video log zoom by less."""


def follow_face(faces: Sequence[Sequence[Face]]) -> list[Face | None]:
    """Return the face of the clip at each step, or None where it is not seen.

    Args:
        faces: The faces found at each step.
    """
    tracks: list[dict[int, Face]] = []
    for step, found in enumerate(faces):
        _link(tracks, step, found)
    if not tracks:
        return [None] * len(faces)
    chosen = max(tracks, key=lambda track: sum(face.size for face in track.values()))
    return [chosen.get(step) for step in range(len(faces))]


def _link(tracks: list[dict[int, Face]], step: int, found: Sequence[Face]) -> None:
    """Give each face of a step to the track it continues best, or to a new one."""
    costs = sorted(
        (_cost(list(track.values())[-1], face), number, index)
        for number, track in enumerate(tracks)
        for index, face in enumerate(found)
    )
    placed: set[int] = set()
    for cost, number, index in costs:
        if math.isfinite(cost) and index not in placed and step not in tracks[number]:
            tracks[number][step] = found[index]
            placed.add(index)
    tracks.extend({step: face} for index, face in enumerate(found) if index not in placed)


def _cost(before: Face, after: Face) -> float:
    """Return how unlike two faces are; infinite where they cannot be the same."""
    distance = float(np.linalg.norm(after.centre - before.centre)) / before.size
    ratio = abs(math.log2(after.size / before.size))
    if distance > MAX_DISTANCE or ratio > math.log2(MAX_RATIO):
        return math.inf
    return distance + ratio
