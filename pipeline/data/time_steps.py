"""Bring clips of any length to the same number of steps.

Legend: F frames, T steps, D values per frame.
"""

from typing import Literal, TypeAlias

import numpy as np

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.data.frames import Frames

ResampleMethod: TypeAlias = Literal["mean", "nearest"]


def valid_frames(frames: Frames) -> BoolArray:
    """Return whether each frame is valid, shape (F,).

    A valid frame has a subject and a finite value in each column. If the clip has times or frame
    numbers, those of the frame are also finite.
    """
    is_valid = frames.is_valid & np.isfinite(frames.values).all(axis=1)
    times = frames.frame_numbers if frames.seconds is None else frames.seconds
    return is_valid if times is None else is_valid & np.isfinite(times)


def resample(
    frames: Frames, num_steps: int, how: ResampleMethod = "mean"
) -> tuple[FloatArray, BoolArray, FloatArray]:
    """Divide the time of a clip into T equal windows, with one step per window.

    All frames have the same duration, the median distance between successive frames. A frame
    belongs to the window that contains its middle. If times are unknown, frame numbers are used.
    If these are also unknown, frames have equal distances.

    Args:
        frames: Frames of one clip in any order.
        num_steps: Number of windows T.
        how: `mean` over the valid frames of each window, or the valid frame `nearest` to its
            middle.

    Returns:
        Values, shape (T, D), float32, 0 in windows without a valid frame; mask, shape (T,), True
        for windows with a valid frame; middle of each window in seconds, shape (T,), NaN if
        unknown.
    """
    values = np.zeros((num_steps, frames.values.shape[1]), dtype=np.float32)
    mask = np.zeros(num_steps, dtype=np.bool_)
    seconds = np.full(num_steps, np.nan)
    times = frames.frame_numbers if frames.seconds is None else frames.seconds
    if times is None:
        times = np.arange(len(frames.values), dtype=np.float64)
    known = np.unique(times[np.isfinite(times)])
    if not known.size:
        return values, mask, seconds
    distances = np.diff(known)
    duration = np.quantile(distances, 0.5, method="lower") if distances.size else 1.0
    start, window = known[0], (known[-1] - known[0] + duration) / num_steps
    middles = start + (np.arange(num_steps) + 0.5) * window
    if frames.seconds is not None:
        seconds = middles
    rows = np.flatnonzero(valid_frames(frames))
    if not rows.size:
        return values, mask, seconds
    centres = times[rows] + duration / 2
    # Rounding must not move a centre on a boundary to the earlier window.
    steps = np.minimum(((centres - start) / window + 1e-9).astype(np.intp), num_steps - 1)
    if how == "nearest":
        # In each window, the nearest frame comes first.
        order = np.lexsort((np.abs(centres - middles[steps]), steps))
        found, firsts = np.unique(steps[order], return_index=True)
        values[found] = frames.values[rows[order][firsts]]
    else:
        order = np.argsort(steps, kind="stable")
        found, firsts, counts = np.unique(steps[order], return_index=True, return_counts=True)
        ordered = frames.values[rows[order]].astype(np.float64)
        values[found] = np.add.reduceat(ordered, firsts, axis=0) / counts[:, np.newaxis]
    mask[found] = True
    return values, mask, seconds
