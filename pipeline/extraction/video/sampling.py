"""Which frames of a clip are looked at: instants spread over all of it, by time.

Shape letters: F frames of the clip, T steps, L flow fields of a step.
"""

from typing import Final

import numpy as np

from pipeline.core.arrays import BoolArray, FloatArray, IntArray

LONGEST_PAIR_SECONDS: Final = 0.25
"""Over a longer time, the flow between two frames is no motion: a face has moved on and back."""
_ROUNDING_SECONDS: Final = 0.002
"""Containers round times to milliseconds."""


def choose_instants(seconds: FloatArray, num_steps: int) -> IntArray:
    """Return the frame nearest to the centre of each of `num_steps` equal parts of a clip.

    Where several centres share their nearest frame, as in a stall of a variable rate, the
    first takes it and the others take the nearest frames that are free.

    Args:
        seconds: When each frame is shown, increasing, shape (F,).
        num_steps: Number of steps T.

    Returns:
        Frame numbers, increasing, shape (min(T, F),): no frame is chosen twice.
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
    """Return the frames that the flow of each step is measured on.

    A window begins at its instant; near the end of the clip it is moved back into it. The
    frame after another is the one nearest to `pair_seconds` later, and never the same; it may
    be much later where there is none (see `are_motion`).

    Args:
        seconds: When each frame is shown, increasing, shape (F,).
        instants: Frame numbers, shape (T,).
        num_pairs: Flow fields L of a step.
        pair_seconds: Time between the two frames of a pair, in seconds.

    Returns:
        Frame numbers, each row increasing, shape (T, L + 1); (T, 1), the instants, for a clip
        of fewer than L + 1 frames, in which nothing can be measured.
    """
    if len(seconds) <= num_pairs:
        return instants[:, np.newaxis]
    windows = np.empty((len(instants), num_pairs + 1), dtype=np.intp)
    windows[:, 0] = instants
    for pair in range(num_pairs):
        before = np.minimum(windows[:, pair], len(seconds) - 1)
        after = nearest(seconds, seconds[before] + pair_seconds)
        windows[:, pair + 1] = np.maximum(after, before + 1)
    # Where a window reaches over the last frame, its frames are counted from the end.
    latest = len(seconds) - 1 - np.arange(num_pairs, -1, -1)
    return np.minimum(windows, latest)


def are_motion(seconds: FloatArray, windows: IntArray, *, pair_seconds: float) -> BoolArray:
    """Return which windows hold only pairs that are near enough for their flow to be motion.

    A pair may be twice `pair_seconds` apart. At low frame rates it may be one and a half of
    the usual steps from frame to frame, up to 0.25 s. So a pair over a gap of the clip is not
    motion, nor is any pair at fewer than 4 frames a second.

    Args:
        seconds: When each frame is shown, increasing, shape (F,).
        windows: Frame numbers of each window, shape (T, L + 1).
        pair_seconds: Time that was wanted between the two frames of a pair, in seconds.

    Returns:
        Shape (T,); False as well for windows of a single frame.
    """
    if windows.shape[1] < 2:
        return np.zeros(len(windows), dtype=np.bool_)
    usual = float(np.median(np.diff(seconds)))
    furthest = max(2 * pair_seconds, min(1.5 * usual, LONGEST_PAIR_SECONDS))
    apart = np.diff(seconds[windows], axis=1).max(axis=1)
    return np.asarray(apart <= furthest + _ROUNDING_SECONDS)


def nearest(seconds: FloatArray, wanted: FloatArray) -> IntArray:
    """Return the position in `seconds`, increasing, of the value nearest to each of `wanted`."""
    after = np.searchsorted(seconds, wanted).clip(1, max(1, len(seconds) - 1))
    before = after - 1
    after = after.clip(max=len(seconds) - 1)
    is_before = wanted - seconds[before] <= seconds[after] - wanted
    return np.where(is_before, before, after)
