"""Read tables of OpenFace 2.

Reference: Baltrušaitis et al., 2018 (doi:10.1109/FG.2018.00019).
"""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from pipeline.data.frames import ClipTable, Format, Frames

_MIN_CONFIDENCE: Final = 0.5
"""Smallest confidence of a valid frame.

OpenFace sets `success` from its own limit, 0.725 by default (`validation_boundary`). Its author
regards a confidence below 0.7 as a failure (OpenFace issue 270). Users may lower the limit of
OpenFace for masks or profile faces (issue 939). Therefore the limit here is lower, and removes only
faces that are more likely wrong than right. It also applies to tables without `success`.
"""


def _matches(columns: Sequence[str]) -> bool:
    has_units = any(re.fullmatch(r"AU\d\d_[rc]", name) for name in columns)
    return has_units or {"confidence", "pose_Rx"} <= {*columns}


def _read(table: ClipTable) -> Frames:
    is_valid = np.ones(len(table.values), dtype=np.bool_)
    if "success" in table.others:
        is_valid &= table.others["success"] == 1
    if "confidence" in table.others:
        is_valid &= table.others["confidence"] >= _MIN_CONFIDENCE
    if "face_id" not in table.others:
        return table.frames(is_valid)
    # A face has the same id as long as OpenFace tracks it. The face with most valid frames is kept.
    face_ids, faces = np.unique(table.others["face_id"], return_inverse=True)
    counts = np.bincount(faces[is_valid], minlength=len(face_ids))
    rows = faces == (counts.argmax() if counts.size else 0)
    return table.select(rows).frames(is_valid[rows])


OPENFACE: Final = Format(
    name="openface",
    description="OpenFace",
    default_columns=("AU*_r", "AU*_c", "gaze_angle_*", "pose_R*", "pose_T*"),
    number_columns=("face_id", "success", "confidence"),
    matches=_matches,
    read=_read,
)
