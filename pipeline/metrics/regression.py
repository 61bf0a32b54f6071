"""Regression metrics per trait across all clips, in float64.

`exact_metrics` computes variances from centred values, so their rounding errors are small.

`row_moments` and `metrics_from_moments` compute the same metrics from seven sums per trait. The
sums of several batches or groups can be added. From these sums, a variance is computed as the
difference of two terms. Because this difference is more exact for small terms, 0.5 is subtracted
from the scores before they are summed.

Shapes: N clips, K traits, M = 7 moments, ... any leading axes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from pipeline.core.arrays import FloatArray

HIGHER_IS_BETTER: Final[Mapping[str, bool]] = {
    "accuracy": True,
    "mae": False,
    "mse": False,
    "r2": True,
    "pcc": True,
    "ccc": True,
}
"""Metric name -> whether a larger value is better."""

METRICS: Final = tuple(HIGHER_IS_BETTER)
"""Names of the metrics, in the order in which they are reported."""

CONSTANT_TOLERANCE: Final = 1e-12
"""A column is constant if its variance, divided by 1 + mean², is at most this number."""

NUM_MOMENTS: Final = 7
"""Number of sums per trait: weight, true, pred, true², pred², true x pred, absolute error."""

SHIFT: Final = 0.5
"""Constant that is subtracted from scores in [0, 1] before they are summed."""


def exact_metrics(y_true: FloatArray, y_pred: FloatArray) -> dict[str, FloatArray]:
    """Compute every metric of each trait.

    `mae` and `mse` are the mean absolute and the mean squared error. `accuracy` is 1 - MAE, the
    metric of the ChaLearn challenges. `r2` is not clipped. It is negative if the mean of the
    annotations is a better prediction than `y_pred`. For constant annotations, `r2` is 1 if the
    prediction is exact and 0 otherwise, as in `sklearn.metrics.r2_score(force_finite=True)`. The
    correlations `pcc` (Pearson) and `ccc` (concordance) are 0 if the annotations or the predictions
    are constant.

    Args:
        y_true: Annotated scores in [0, 1], shape (N, K).
        y_pred: Predicted scores, shape (N, K).

    Returns:
        Metric -> values, shape (K,).

    Raises:
        ValueError: If the shapes differ or there are no clips.

    Reference: Ponce-López et al., 2016 (doi:10.1007/978-3-319-49409-8_32), for `accuracy`;
        Lin, 1989 (doi:10.2307/2532051), eq. 3 with population moments, for `ccc`.
    """
    true, pred = as_columns(y_true, y_pred)
    mean_true, mean_pred = true.mean(axis=0), pred.mean(axis=0)
    centred_true, centred_pred = true - mean_true, pred - mean_pred
    return _metrics(
        mae=np.abs(true - pred).mean(axis=0),
        mse=((true - pred) ** 2).mean(axis=0),
        mean_true=mean_true,
        mean_pred=mean_pred,
        variance_true=(centred_true**2).mean(axis=0),
        variance_pred=(centred_pred**2).mean(axis=0),
        covariance=(centred_true * centred_pred).mean(axis=0),
    )


def trait_metrics(
    y_true: FloatArray, y_pred: FloatArray, *, trait_names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Compute the metrics of `exact_metrics` for each trait, and their means across traits.

    `trait_names` contains the names of the K columns.

    Returns:
        Metric -> trait name or `"mean"` -> value.

    Raises:
        ValueError: If there is not one name per column, the shapes differ, or there are no clips.
    """
    metrics = exact_metrics(y_true, y_pred)
    return {metric: name_traits(values, trait_names) for metric, values in metrics.items()}


def row_moments(y_true: FloatArray, y_pred: FloatArray) -> FloatArray:
    """Return seven terms per clip and trait, shape (N, 7, K). Their sums are the moments.

    Raises:
        ValueError: If the shapes differ, or there are no clips.
    """
    true, pred = as_columns(y_true, y_pred)
    true, pred = true - SHIFT, pred - SHIFT
    rows = (np.ones_like(true), true, pred, true**2, pred**2, true * pred, np.abs(true - pred))
    return np.stack(rows, axis=1)


def metrics_from_moments(moments: FloatArray) -> dict[str, FloatArray]:
    """Compute every metric of each trait from the seven sums.

    Args:
        moments: Sum of `row_moments` across clips, shape (..., 7, K).

    Returns:
        Metric -> values, shape (..., K); NaN if the first of the seven sums is 0.
    """
    weight, *sums = (moments[..., index, :] for index in range(NUM_MOMENTS))
    with np.errstate(invalid="ignore"):
        mean_true, mean_pred, square_true, square_pred, product, mae = (
            total / weight for total in sums
        )
    # For an exact prediction, `mae` is 0, but the expression below can have a rounding error.
    mse = np.where(mae == 0, 0.0, np.abs(square_true - 2 * product + square_pred))
    return _metrics(
        mae=mae,
        mse=mse,
        mean_true=mean_true + SHIFT,
        mean_pred=mean_pred + SHIFT,
        variance_true=square_true - mean_true**2,
        variance_pred=square_pred - mean_pred**2,
        covariance=product - mean_true * mean_pred,
    )


def name_traits(values: FloatArray, trait_names: Sequence[str]) -> dict[str, float]:
    """Return the `values` (K,) by trait name, and their mean with the name `"mean"`.

    Raises:
        ValueError: If there is not one value per trait.
    """
    if values.shape != (len(trait_names),):
        raise ValueError(
            f"expected one value per trait, shape ({len(trait_names)},); found shape {values.shape}"
        )
    named = dict(zip(trait_names, values.tolist(), strict=True))
    return {**named, "mean": float(values.mean())}


def is_constant(mean: Any, variance: Any) -> Any:
    """Return True for columns with a variance of at most `CONSTANT_TOLERANCE` x (1 + mean²).

    Rounding errors of the sums or of float32 scores can give a constant column such a variance.
    """
    return variance <= CONSTANT_TOLERANCE * (1.0 + mean * mean)


def as_columns(y_true: FloatArray, y_pred: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return annotations and predictions in float64, shape (N, K) each.

    Raises:
        ValueError: If the shapes differ, or there are no clips.
    """
    true = np.asarray(y_true, dtype=np.float64)
    pred = np.asarray(y_pred, dtype=np.float64)
    if true.shape != pred.shape or true.ndim != 2:
        raise ValueError(
            "y_true and y_pred must both have shape (clips, traits); "
            f"found {true.shape} and {pred.shape}"
        )
    if len(true) == 0:
        raise ValueError(f"there are no clips to score: y_true has shape {true.shape}")
    return true, pred


def _metrics(
    *,
    mae: FloatArray,
    mse: FloatArray,
    mean_true: FloatArray,
    mean_pred: FloatArray,
    variance_true: FloatArray,
    variance_pred: FloatArray,
    covariance: FloatArray,
) -> dict[str, FloatArray]:
    flat_true = is_constant(mean_true, variance_true)
    flat = flat_true | is_constant(mean_pred, variance_pred)
    r2 = 1 - mse / np.where(flat_true, 1.0, variance_true)
    pcc = covariance / np.sqrt(np.where(flat, 1.0, variance_true * variance_pred))
    distance = variance_true + variance_pred + (mean_true - mean_pred) ** 2
    ccc = 2 * covariance / np.where(flat, 1.0, distance)
    values = (
        1 - mae,
        mae,
        mse,
        np.where(flat_true, np.where(mae == 0, 1.0, 0.0), r2),
        # Rounding can make a perfect correlation slightly larger than 1.
        np.where(flat, 0.0, np.clip(pcc, -1.0, 1.0)),
        np.where(flat, 0.0, np.clip(ccc, -1.0, 1.0)),
    )
    return dict(zip(METRICS, values, strict=True))
