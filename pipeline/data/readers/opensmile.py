"""Read tables of openSMILE, written by its program or by its Python package.

The program writes `name;frameTime;…`, the Python package `file,start,end,…`. Functionals are one
row per recording, low-level descriptors one row per frame.

Reference: Eyben et al., 2010 (doi:10.1145/1873951.1874246).
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from pipeline.data.frames import ClipTable, Format, Frames


def _matches(columns: Sequence[str]) -> bool:
    names = {name.lower() for name in columns}
    # The names of descriptors end with the smoothing filter: `pcm_zcr_sma`, `F0…_sma3nz_amean`.
    is_smoothed = any(re.search(r"_sma(3|3nz)?(_|\[|$)", name) for name in names)
    return is_smoothed or "frametime" in names or {"file", "start", "end"} <= names


def _read(table: ClipTable) -> Frames:
    is_vector = len(table.values) == 1
    frames = table.frames(is_vector=is_vector)
    starts = table.others.get("start")
    if is_vector or starts is None or not starts.size:
        return frames
    seconds = pd.to_numeric(pd.Series(starts), errors="coerce")
    if seconds.isna().any():  # `0 days 00:00:00.010000`
        seconds = pd.to_timedelta(pd.Series(starts), errors="coerce").dt.total_seconds()
    return replace(frames, seconds=np.asarray(seconds, dtype=np.float64))


OPENSMILE: Final = Format(
    name="opensmile",
    description="openSMILE",
    default_columns=("*",),
    text_columns=("start", "end"),
    matches=_matches,
    read=_read,
)
