"""The sums from which every metric follows. Sums add up over batches, groups and resamples.

Seven weighted sums per trait are enough. Scores are shifted by 0.5, the middle of their scale,
before they are squared: the sums stay small, so a variance, which is a difference of two sums,
keeps its digits.

Shapes: N clips, K traits, M = 7 moments, ... any leading axes.
"""

from typing import Final

import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.metrics.regression import METRICS, as_columns, is_constant

MOMENTS: Final = (
    "weight",
    "true",
    "pred",
    "true_squared",
    "pred_squared",
    "product",
    "absolute_error",
)
"""Names of the sums, in the order of the axis M."""

SHIFT: Final = 0.5
"""Subtracted from scores in [0, 1] before they are summed."""


def row_moments(y_true: FloatArray, y_pred: FloatArray) -> FloatArray:
    """Return the part of each clip in the seven sums, shape (N, 7, K).

    Args:
        y_true: Annotated scores in [0, 1], shape (N, K).
        y_pred: Predicted scores, shape (N, K).

    Raises:
        ValueError: If the shapes differ, or there are no clips.
    """
    true, pred = as_columns(y_true, y_pred)
    true, pred = true - SHIFT, pred - SHIFT
    rows = (np.ones_like(true), true, pred, true**2, pred**2, true * pred, np.abs(true - pred))
    return np.stack(rows, axis=1)


def metrics_from_moments(moments: FloatArray) -> dict[str, FloatArray]:
    """Compute every metric from the seven sums.

    Constant columns are treated as in `pipeline.metrics.regression`.

    Args:
        moments: Shape (..., 7, K), in the order of `MOMENTS`.

    Returns:
        Metric -> shape (..., K); NaN if the weight is 0.
    """
    weight, *sums = (moments[..., index, :] for index in range(len(MOMENTS)))
    with np.errstate(invalid="ignore"):
        mean_true, mean_pred, square_true, square_pred, product, mae = (
            total / weight for total in sums
        )
    variance_true = square_true - mean_true**2
    variance_pred = square_pred - mean_pred**2
    covariance = product - mean_true * mean_pred
    # Absolute errors cannot cancel, so their sum is 0 only for a perfect prediction. The squared
    # error is a difference of sums, and rounding can move it away from 0.
    perfect = mae == 0
    mse = np.where(perfect, 0.0, np.abs(square_true - 2 * product + square_pred))

    flat_true = is_constant(mean_true + SHIFT, variance_true)
    flat = flat_true | is_constant(mean_pred + SHIFT, variance_pred)
    r2 = 1 - mse / np.where(flat_true, 1.0, variance_true)
    pcc = covariance / np.sqrt(np.where(flat, 1.0, variance_true * variance_pred))
    distance = variance_true + variance_pred + (mean_true - mean_pred) ** 2
    ccc = 2 * covariance / np.where(flat, 1.0, distance)
    values = (
        1 - mae,
        mae,
        mse,
        np.where(flat_true, np.where(perfect, 1.0, 0.0), r2),
        np.where(flat, 0.0, np.clip(pcc, -1.0, 1.0)),
        np.where(flat, 0.0, np.clip(ccc, -1.0, 1.0)),
    )
    return dict(zip(METRICS, values, strict=True))
