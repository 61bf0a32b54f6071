"""The sums that all metrics follow from: they add up over batches, groups and resamples.

Seven weighted sums per trait are enough for every metric of this package. Scores are
shifted by 0.5, the middle of their scale, before they are squared: the sums stay small,
and a variance, the difference of two of them, keeps its digits.

Shapes: N clips, K traits, M = 7 moments, ... any leading axes.
"""

from typing import Any, Final

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
"""What is subtracted from scores in [0, 1] before they are summed."""


def moments(
    y_true: FloatArray, y_pred: FloatArray, sample_weight: FloatArray | None = None
) -> FloatArray:
    """Return the seven weighted sums of each trait.

    Args:
        y_true: Annotated scores in [0, 1], shape (N, K).
        y_pred: Predicted scores, shape (N, K).
        sample_weight: Weight of each clip, zero or more, shape (N,); all 1 if None.

    Returns:
        Shape (7, K), in the order of `MOMENTS`, of scores shifted by `SHIFT`.

    Raises:
        ValueError: If the shapes differ, there are no clips, or the weights are unusable.
    """
    return row_moments(y_true, y_pred, sample_weight).sum(axis=0)


def row_moments(
    y_true: FloatArray, y_pred: FloatArray, sample_weight: FloatArray | None = None
) -> FloatArray:
    """Return what each clip adds to the seven sums, shape (N, 7, K).

    Args:
        y_true: Annotated scores in [0, 1], shape (N, K).
        y_pred: Predicted scores, shape (N, K).
        sample_weight: Weight of each clip, zero or more, shape (N,); all 1 if None.

    Raises:
        ValueError: If the shapes differ, there are no clips, or the weights are unusable.
    """
    true, pred, weight = as_columns(y_true, y_pred, sample_weight)
    true, pred = true - SHIFT, pred - SHIFT
    rows = (np.ones_like(true), true, pred, true**2, pred**2, true * pred, np.abs(true - pred))
    return np.stack(rows, axis=1) * weight[:, None, None]


def metrics_from_moments(moments: Any, *, backend: Any = np) -> dict[str, Any]:
    """Return every metric that follows from the seven sums.

    The conventions for constant columns are those of `pipeline.metrics.regression`.

    Args:
        moments: Shape (..., 7, K), in the order of `MOMENTS`.
        backend: The module to compute with: `numpy` or `keras.ops`.

    Returns:
        Metric -> shape (..., K); NaN where the weight is 0.
    """
    weight, *sums = (moments[..., index, :] for index in range(len(MOMENTS)))
    with np.errstate(invalid="ignore"):
        mean_true, mean_pred, square_true, square_pred, product, mae = (
            total / weight for total in sums
        )
    variance_true = square_true - mean_true**2
    variance_pred = square_pred - mean_pred**2
    covariance = product - mean_true * mean_pred
    # Absolute errors cannot cancel: their sum is 0 for a perfect prediction only. The
    # squared error is a difference of sums here, and may miss 0 by a rounding error.
    perfect = mae == 0
    mse = backend.where(perfect, 0.0, backend.abs(square_true - 2 * product + square_pred))

    flat_true = is_constant(mean_true + SHIFT, variance_true)
    flat = flat_true | is_constant(mean_pred + SHIFT, variance_pred)
    r2 = 1 - mse / backend.where(flat_true, 1.0, variance_true)
    pcc = covariance / backend.sqrt(backend.where(flat, 1.0, variance_true * variance_pred))
    distance = variance_true + variance_pred + (mean_true - mean_pred) ** 2
    ccc = 2 * covariance / backend.where(flat, 1.0, distance)
    values = (
        1 - mae,
        mae,
        mse,
        backend.where(flat_true, backend.where(perfect, 1.0, 0.0), r2),
        backend.where(flat, 0.0, backend.clip(pcc, -1.0, 1.0)),
        backend.where(flat, 0.0, backend.clip(ccc, -1.0, 1.0)),
    )
    return dict(zip(METRICS, values, strict=True))
