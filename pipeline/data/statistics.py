"""Mean and variance of a feature stream, streamed, so that it may be larger than memory.

Legend: N clips, T steps, D width.
"""

import numpy as np

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.data.stream import Stream


def feature_moments(stream: Stream, rows: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and population variance of each feature over clips and valid steps.

    Args:
        stream: Features, shape (N, D) or (N, T, D), or pictures, shape (N, T, H, W, D).
        rows: The clips to measure; the training clips, so that nothing of the held-out
            ones gets into the model.

    Returns:
        Two arrays of shape (D,), float64.

    Reference: Chan, Golub & LeVeque, 1983 (doi:10.1080/00031305.1983.10483115), eq. 2.1.
    """
    count = 0
    mean = np.zeros(stream.width)
    squares = np.zeros(stream.width)
    for chunk_rows, values in stream.chunks(rows):
        valid = _valid_steps(stream, chunk_rows, values)
        chunk_mean = valid.mean(axis=0)
        delta = chunk_mean - mean
        total = count + len(valid)
        squares += ((valid - chunk_mean) ** 2).sum(axis=0)
        squares += delta**2 * count * len(valid) / total
        mean += delta * len(valid) / total
        count = total
    return mean, squares / count


def _valid_steps(stream: Stream, rows: IntArray, values: FloatArray) -> FloatArray:
    values = values.astype(np.float64)
    if values.ndim == 2:
        return values
    return values[stream.read_mask(rows)].reshape(-1, stream.width)  # each pixel of a picture
