"""Exact regression metrics of each trait in NumPy, in float64, over all clips pooled.

Variances are computed from centred values, so that no digits cancel. The streaming and the
bootstrapped metrics are tested against these functions.

Every function takes the annotated scores `y_true` in [0, 1] and the predictions `y_pred`, both
of shape (N, K), and returns shape (K,). It raises a ValueError if the shapes differ or there are
no clips.

Shapes: N clips, K traits.
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
"""Largest variance of a constant column, as a share of 1 + mean²."""


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
    moments = _moments(y_true, y_pred)
    flat = is_constant(moments.mean_true, moments.variance_true)
    perfect = np.where(error == 0, 1.0, 0.0)
    return np.where(flat, perfect, 1.0 - error / np.where(flat, 1.0, moments.variance_true))


def pearson(y_true: FloatArray, y_pred: FloatArray) -> FloatArray:
    """Compute Pearson's correlation of each trait; 0 if either column is constant."""
    moments = _moments(y_true, y_pred)
    return _correlation(moments, np.sqrt(moments.variance_true * moments.variance_pred))


def concordance(y_true: FloatArray, y_pred: FloatArray) -> FloatArray:
    """Compute the concordance correlation coefficient of each trait.

    It is 0 if either column is constant, even if both are constant and equal.

    Reference: Lin, 1989 (doi:10.2307/2532051), eq. 3, population moments.
    """
    moments = _moments(y_true, y_pred)
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


class _Moments(NamedTuple):
    """Population moments of annotations and predictions, shape (K,) each."""

    mean_true: FloatArray
    mean_pred: FloatArray
    variance_true: FloatArray
    variance_pred: FloatArray
    covariance: FloatArray


def _moments(y_true: FloatArray, y_pred: FloatArray) -> _Moments:
    true, pred = as_columns(y_true, y_pred)
    mean_true, mean_pred = true.mean(axis=0), pred.mean(axis=0)
    true, pred = true - mean_true, pred - mean_pred
    return _Moments(
        mean_true=mean_true,
        mean_pred=mean_pred,
        variance_true=(true**2).mean(axis=0),
        variance_pred=(pred**2).mean(axis=0),
        covariance=(true * pred).mean(axis=0),
    )


def _correlation(moments: _Moments, scale: FloatArray) -> FloatArray:
    """Return covariance over `scale`, shape (K,); 0 if either column is constant."""
    flat = is_constant(moments.mean_true, moments.variance_true) | is_constant(
        moments.mean_pred, moments.variance_pred
    )
    ratio = moments.covariance / np.where(flat, 1.0, scale)
    # Rounding can make a perfect correlation slightly larger than 1.
    return np.where(flat, 0.0, np.clip(ratio, -1.0, 1.0))
