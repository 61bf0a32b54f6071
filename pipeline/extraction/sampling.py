"""Which frames of a clip are looked at: instants spread over all of it, by time.

Shape letters: F frames of the clip, T steps, L flow fields of a step.
"""

import numpy as np

from pipeline.core.arrays import FloatArray, IntArray


def choose_instants(seconds: FloatArray, num_steps: int) -> IntArray:
    """Return the frame nearest to the centre of each of `num_steps` equal parts of a clip.

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
    if len(np.unique(chosen)) < num_steps:  # a variable rate may leave long gaps
        chosen = np.linspace(0, len(seconds) - 1, num_steps).round().astype(np.intp)
    return chosen


def choose_windows(
    seconds: FloatArray, instants: IntArray, *, num_pairs: int, pair_seconds: float
) -> IntArray:
    """Return the frames that the flow of each step is measured on.

    A window begins at its instant; near the end of the clip it is moved back into it. The
    frame after another is the one nearest to `pair_seconds` later, and never the same.

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


def nearest(seconds: FloatArray, wanted: FloatArray) -> IntArray:
    """Return the position in `seconds`, increasing, of the value nearest to each of `wanted`."""
    after = np.searchsorted(seconds, wanted).clip(1, max(1, len(seconds) - 1))
    before = after - 1
    after = after.clip(max=len(seconds) - 1)
    is_before = wanted - seconds[before] <= seconds[after] - wanted
    return np.where(is_before, before, after)
