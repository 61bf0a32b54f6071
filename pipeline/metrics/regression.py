"""Regression metrics of each trait over all clips, in float64: exact, or from sums.

The exact functions compute variances from centred values, so that no digits cancel. They take
the annotated scores `y_true` in [0, 1] and the predictions `y_pred`, both of shape (N, K), and
return shape (K,). They raise a ValueError if the shapes differ or there are no clips.

`row_moments` and `metrics_from_moments` compute the same metrics from seven sums per trait. Such
sums add up over batches, groups and resamples. Scores are shifted by 0.5 first, so that the sums
stay small and a variance, which is a difference of two sums, keeps its digits.

Shapes: N clips, K traits, M = 7 moments, ... any leading axes.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.core.traits import NUM_TRAITS, TRAITS

HIGHER_IS_BETTER: Final[Mapping[str, bool]] = {
    "accuracy": True,
    "mae": False,
    "mse": False,
    "r2": True,
    "pcc": True,
    "ccc": True,
}
"""Whether a larger value of each metric is better."""

METRICS: Final = tuple(HIGHER_IS_BETTER)
"""Names of the metrics, in the order in which they are reported."""

CONSTANT_TOLERANCE: Final = 1e-12
"""Largest variance of a constant column, relative to 1 + mean²."""

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


def mean_absolute_error(y_true: FloatArray, y_pred: FloatArray) -> FloatArray:
    """Compute the mean absolute error of each trait, in the unit of the scores."""
    true, pred = as_columns(y_true, y_pred)
    return np.abs(true - pred).mean(axis=0)


def mean_squared_error(y_true: FloatArray, y_pred: FloatArray) -> FloatArray:
    """Compute the mean squared error of each trait, in the squared unit of the scores."""
    true, pred = as_columns(y_true, y_pred)
    return ((true - pred) ** 2).mean(axis=0)


def accuracy(y_true: FloatArray, y_pred: FloatArray) -> FloatArray:
    """Compute 1 - MAE of each trait, the score of the ChaLearn challenges.

    Reference: Ponce-López et al., 2016 (doi:10.1007/978-3-319-49409-8_32), the mean
        accuracy of the first-round challenge.
    """
    return 1.0 - mean_absolute_error(y_true, y_pred)


def r_squared(y_true: FloatArray, y_pred: FloatArray) -> FloatArray:
    """Compute the coefficient of determination of each trait, without clipping.

    It is negative if the mean of the annotations would predict better. If the annotations are
    constant, it is 1 for an exact prediction and 0 otherwise, as in
    `sklearn.metrics.r2_score(force_finite=True)`.
    """
    error = mean_squared_error(y_true, y_pred)
    moments = _central_moments(y_true, y_pred)
    flat = is_constant(moments.mean_true, moments.variance_true)
    perfect = np.where(error == 0, 1.0, 0.0)
    return np.where(flat, perfect, 1.0 - error / np.where(flat, 1.0, moments.variance_true))


def pearson(y_true: FloatArray, y_pred: FloatArray) -> FloatArray:
    """Compute Pearson's correlation of each trait; 0 if either column is constant."""
    moments = _central_moments(y_true, y_pred)
    return _correlation(moments, np.sqrt(moments.variance_true * moments.variance_pred))


def concordance(y_true: FloatArray, y_pred: FloatArray) -> FloatArray:
    """Compute the concordance correlation coefficient of each trait.

    It is 0 if either column is constant, even if both are constant and equal.

    Reference: Lin, 1989 (doi:10.2307/2532051), eq. 3, population moments.
    """
    moments = _central_moments(y_true, y_pred)
    offset = moments.mean_true - moments.mean_pred
    return _correlation(moments, (moments.variance_true + moments.variance_pred + offset**2) / 2)


def trait_metrics(y_true: FloatArray, y_pred: FloatArray) -> dict[str, dict[str, float]]:
    """Compute every metric of the five traits and its mean over them.

    Args:
        y_true: Annotated scores in [0, 1], shape (N, 5), in OCEAN order.
        y_pred: Predicted scores, shape (N, 5).

    Returns:
        Metric -> trait name or `"mean"` -> value.

    Raises:
        ValueError: If there are not five traits, the shapes differ, or there are no clips.
    """
    functions = (
        accuracy,
        mean_absolute_error,
        mean_squared_error,
        r_squared,
        pearson,
        concordance,
    )
    return {
        metric: name_traits(function(y_true, y_pred))
        for metric, function in zip(METRICS, functions, strict=True)
    }


def name_traits(values: FloatArray) -> dict[str, float]:
    """Return the value of each trait by name, and their mean under `"mean"`.

    Args:
        values: Shape (5,), in OCEAN order.

    Raises:
        ValueError: If there are not five values.
    """
    if values.shape != (NUM_TRAITS,):
        raise ValueError(f"expected one value per trait, shape (5,); found shape {values.shape}")
    named = dict(zip(TRAITS, values.tolist(), strict=True))
    return {**named, "mean": float(values.mean())}


def row_moments(y_true: FloatArray, y_pred: FloatArray) -> FloatArray:
    """Return the seven terms of each clip, shape (N, 7, K); their sum over clips is the moments.

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

    Constant columns are treated as by the exact functions.

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


def is_constant(mean: Any, variance: Any) -> Any:
    """Return whether each column varies by less than a millionth of its magnitude.

    Below that, a variance from sums is rounding noise, and float32 scores differ in their last
    digits only.

    Args:
        mean: Mean of each column, any shape.
        variance: Population variance of each column, the same shape.
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


class _CentralMoments(NamedTuple):
    """Population moments of annotations and predictions, shape (K,) each."""

    mean_true: FloatArray
    mean_pred: FloatArray
    variance_true: FloatArray
    variance_pred: FloatArray
    covariance: FloatArray


def _central_moments(y_true: FloatArray, y_pred: FloatArray) -> _CentralMoments:
    true, pred = as_columns(y_true, y_pred)
    mean_true, mean_pred = true.mean(axis=0), pred.mean(axis=0)
    true, pred = true - mean_true, pred - mean_pred
    return _CentralMoments(
        mean_true=mean_true,
        mean_pred=mean_pred,
        variance_true=(true**2).mean(axis=0),
        variance_pred=(pred**2).mean(axis=0),
        covariance=(true * pred).mean(axis=0),
    )


def _correlation(moments: _CentralMoments, scale: FloatArray) -> FloatArray:
    """Return covariance over `scale`, shape (K,); 0 if either column is constant."""
    flat = is_constant(moments.mean_true, moments.variance_true) | is_constant(
        moments.mean_pred, moments.variance_pred
    )
    ratio = moments.covariance / np.where(flat, 1.0, scale)
    # Rounding can make a perfect correlation slightly larger than 1.
    return np.where(flat, 0.0, np.clip(ratio, -1.0, 1.0))
