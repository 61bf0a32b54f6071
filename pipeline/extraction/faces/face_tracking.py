"""Track the main face of a clip.

Detections at successive time steps are linked to a track if their positions and sizes are similar.
The track with the largest sum of face sizes is the main face. Therefore a face that is always
visible is preferred to a larger face that appears briefly.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from pipeline.extraction.faces.detection import Face

MAX_DISTANCE: Final = 2.0
"""Maximum distance of linked faces, in face sizes. It is large, because time steps can be one
second apart."""

MAX_RATIO: Final = 2.0
"""Maximum size ratio of linked faces. Cuts in video logs change the zoom by a smaller ratio."""


def track_main_face(faces: Sequence[Sequence[Face]]) -> list[Face | None]:
    """Return the main face at each time step, or None. `faces`: all detections per time step."""
    tracks: list[dict[int, Face]] = []
    for step, found in enumerate(faces):
        _link(tracks, step, found)
    if not tracks:
        return [None] * len(faces)
    chosen = max(tracks, key=lambda track: sum(face.size for face in track.values()))
    return [chosen.get(step) for step in range(len(faces))]


def _link(tracks: list[dict[int, Face]], step: int, found: Sequence[Face]) -> None:
    costs = sorted(
        (_cost(list(track.values())[-1], face), number, index)
        for number, track in enumerate(tracks)
        for index, face in enumerate(found)
    )
    linked: set[int] = set()
    for cost, number, index in costs:
        if math.isfinite(cost) and index not in linked and step not in tracks[number]:
            tracks[number][step] = found[index]
            linked.add(index)
    tracks.extend({step: face} for index, face in enumerate(found) if index not in linked)


def _cost(before: Face, after: Face) -> float:
    distance = float(np.linalg.norm(after.centre - before.centre)) / before.size
    ratio = abs(math.log2(after.size / before.size))
    if distance > MAX_DISTANCE or ratio > math.log2(MAX_RATIO):
        return math.inf
    return distance + ratio
