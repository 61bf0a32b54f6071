"""Sample frames at evenly spaced times over the whole duration of a clip.

In all functions, `seconds` contains the frame times in ascending order, shape (F,).

Shape letters: F frames of the clip, T time steps (num_steps), L frame pairs per flow window
(num_pairs).
"""

from typing import Final

import numpy as np

from pipeline.core.arrays import BoolArray, FloatArray, IntArray

MAX_PAIR_SECONDS: Final = 0.25
"""Maximum frame interval at low frame rates. Over a longer time, flow does not show motion."""
_ROUNDING_SECONDS: Final = 0.002
"""Tolerance for containers that round times to milliseconds."""


def choose_instants(seconds: FloatArray, num_steps: int) -> IntArray:
    """Divide a clip into `num_steps` equal parts; return the frame nearest to each centre.

    In a gap, several centres can have the same nearest frame. The first centre gets this frame,
    and the other centres get the nearest unused frames.

    Returns:
        Frame numbers, ascending and unique, shape (min(T, F),).
    """
    if len(seconds) <= num_steps:
        return np.arange(len(seconds))
    span = seconds[-1] - seconds[0]
    centres = seconds[0] + (np.arange(num_steps) + 0.5) * span / num_steps
    chosen = nearest(seconds, centres)
    is_first = np.diff(chosen, prepend=-1) > 0
    is_free = np.ones(len(seconds), dtype=np.bool_)
    is_free[chosen] = False
    for step in np.flatnonzero(~is_first):
        chosen[step] = np.where(is_free, np.abs(seconds - centres[step]), np.inf).argmin()
        is_free[chosen[step]] = False
    return np.sort(chosen)


def choose_windows(
    seconds: FloatArray, instants: IntArray, *, num_pairs: int, pair_seconds: float
) -> IntArray:
    """Return the flow window of each time step: the frames between which flow is measured.

    A window begins at the frame of its time step. Near the end of the clip, it begins earlier. The
    time between successive frames is as close to `pair_seconds` as possible. If frames are missing,
    this time can be too long, see `are_motion`.

    Returns:
        Frame numbers, ascending in each row, shape (T, L + 1). If the clip has fewer than L + 1
        frames: only the frames in `instants`, shape (T, 1).
    """
    if len(seconds) <= num_pairs:
        return instants[:, np.newaxis]
    windows = np.empty((len(instants), num_pairs + 1), dtype=np.intp)
    windows[:, 0] = instants
    for pair in range(num_pairs):
        before = np.minimum(windows[:, pair], len(seconds) - 1)
        after = nearest(seconds, seconds[before] + pair_seconds)
        windows[:, pair + 1] = np.maximum(after, before + 1)
    # Windows that end after the clip are moved back to the last frames of the clip.
    latest = len(seconds) - 1 - np.arange(num_pairs, -1, -1)
    return np.minimum(windows, latest)


def are_motion(seconds: FloatArray, windows: IntArray, *, pair_seconds: float) -> BoolArray:
    """Return, for each window, True if its frames are close enough in time to measure motion.

    The maximum interval is twice `pair_seconds`. At low frame rates, it is 1.5 median frame
    intervals, but at most 0.25 s. This limit excludes windows with gaps, and clips with fewer
    than 4 frames per second.

    `windows` contains frame numbers, shape (T, L + 1).

    Returns:
        Shape (T,); False for windows with a single frame.
    """
    if windows.shape[1] < 2:
        return np.zeros(len(windows), dtype=np.bool_)
    usual = float(np.median(np.diff(seconds)))
    limit = max(2 * pair_seconds, min(1.5 * usual, MAX_PAIR_SECONDS))
    longest = np.diff(seconds[windows], axis=1).max(axis=1)
    return np.asarray(longest <= limit + _ROUNDING_SECONDS)


def nearest(seconds: FloatArray, wanted: FloatArray) -> IntArray:
    """Return the index of the frame time nearest to each wanted time."""
    after = np.searchsorted(seconds, wanted).clip(1, max(1, len(seconds) - 1))
    before = after - 1
    after = after.clip(max=len(seconds) - 1)
    is_before = wanted - seconds[before] <= seconds[after] - wanted
    return np.where(is_before, before, after)
