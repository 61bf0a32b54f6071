"""Exact per-trait regression metrics in numpy, over all rows pooled, in float64.

Sums are taken of centred values (two passes over the data), so that nothing cancels.
They are the reference that the streaming and the bootstrapped metrics are held to.

A column counts as constant when its standard deviation is below a millionth of its
magnitude (see `is_constant`): then no correlation is shown and none is reported.

Shapes: N clips, K traits.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.core.traits import NUM_TRAITS, TRAITS

METRICS: Final = ("accuracy", "mae", "mse", "r2", "pcc", "ccc")
"""Names of the metrics, in the order in which they are reported."""

HIGHER_IS_BETTER: Final[Mapping[str, bool]] = {
    "accuracy": True,
    "mae": False,
    "mse": False,
    "r2": True,
    "pcc": True,
    "ccc": True,
}
"""Whether a larger value of each metric is the better one."""

CONSTANT_TOLERANCE: Final = 1e-12
"""Largest variance of a constant column, as a share of 1 + mean²."""


class _Spread(NamedTuple):
    """Weighted population moments of two columns, each of shape (K,)."""

    mean_true: FloatArray
    mean_pred: FloatArray
    variance_true: FloatArray
    variance_pred: FloatArray
    covariance: FloatArray


def mean_absolute_error(
    y_true: FloatArray, y_pred: FloatArray, sample_weight: FloatArray | None = None
) -> FloatArray:
    """Return the mean absolute error of each trait.

    Args:
        y_true: Annotated scores in [0, 1], shape (N, K).
        y_pred: Predicted scores, shape (N, K).
        sample_weight: Weight of each clip, zero or more, shape (N,); all alike if None.

    Returns:
        Shape (K,), zero or more, in the unit of the scores.

    Raises:
        ValueError: If the shapes differ, there are no clips, or the weights are unusable.
    """
    true, pred, weight = as_columns(y_true, y_pred, sample_weight)
    return _average(np.abs(true - pred), weight)


def mean_squared_error(
    y_true: FloatArray, y_pred: FloatArray, sample_weight: FloatArray | None = None
) -> FloatArray:
    """Return the mean squared error of each trait.

    Args:
        y_true: Annotated scores in [0, 1], shape (N, K).
        y_pred: Predicted scores, shape (N, K).
        sample_weight: Weight of each clip, zero or more, shape (N,); all alike if None.

    Returns:
        Shape (K,), zero or more, in the squared unit of the scores.

    Raises:
        ValueError: If the shapes differ, there are no clips, or the weights are unusable.
    """
    true, pred, weight = as_columns(y_true, y_pred, sample_weight)
    return _average((true - pred) ** 2, weight)


def accuracy(
    y_true: FloatArray, y_pred: FloatArray, sample_weight: FloatArray | None = None
) -> FloatArray:
    """Return 1 - MAE of each trait, the score of the ChaLearn challenges.

    Args:
        y_true: Annotated scores in [0, 1], shape (N, K).
        y_pred: Predicted scores, shape (N, K).
        sample_weight: Weight of each clip, zero or more, shape (N,); all alike if None.

    Returns:
        Shape (K,), at most 1; negative where the mean error exceeds the whole scale.

    Raises:
        ValueError: If the shapes differ, there are no clips, or the weights are unusable.

    Reference: Ponce-López et al., 2016 (doi:10.1007/978-3-319-49409-8_32), the mean
        accuracy of the first-round challenge.
    """
    return 1.0 - mean_absolute_error(y_true, y_pred, sample_weight)


def r_squared(
    y_true: FloatArray, y_pred: FloatArray, sample_weight: FloatArray | None = None
) -> FloatArray:
    """Return the coefficient of determination of each trait, unclipped.

    Args:
        y_true: Annotated scores in [0, 1], shape (N, K).
        y_pred: Predicted scores, shape (N, K).
        sample_weight: Weight of each clip, zero or more, shape (N,); all alike if None.

    Returns:
        Shape (K,), at most 1; negative where the mean of the truth would predict better.
        Where the truth is constant: 1 if every prediction is exact, else 0, as
        `sklearn.metrics.r2_score(force_finite=True)` has it.

    Raises:
        ValueError: If the shapes differ, there are no clips, or the weights are unusable.
    """
    error = mean_squared_error(y_true, y_pred, sample_weight)
    spread = _spread(y_true, y_pred, sample_weight)
    flat = is_constant(spread.mean_true, spread.variance_true)
    perfect = np.where(error == 0, 1.0, 0.0)
    return np.where(flat, perfect, 1.0 - error / np.where(flat, 1.0, spread.variance_true))


def pearson(
    y_true: FloatArray, y_pred: FloatArray, sample_weight: FloatArray | None = None
) -> FloatArray:
    """Return Pearson's correlation of truth and prediction over the clips, for each trait.

    Args:
        y_true: Annotated scores in [0, 1], shape (N, K).
        y_pred: Predicted scores, shape (N, K).
        sample_weight: Weight of each clip, zero or more, shape (N,); all alike if None.

    Returns:
        Shape (K,), each in [-1, 1]; 0 where either column is constant.

    Raises:
        ValueError: If the shapes differ, there are no clips, or the weights are unusable.
    """
    spread = _spread(y_true, y_pred, sample_weight)
    scale = np.sqrt(spread.variance_true * spread.variance_pred)
    return _correlation(spread, scale)


def concordance(
    y_true: FloatArray, y_pred: FloatArray, sample_weight: FloatArray | None = None
) -> FloatArray:
    """Return the concordance correlation coefficient of each trait.

    Args:
        y_true: Annotated scores in [0, 1], shape (N, K).
        y_pred: Predicted scores, shape (N, K).
        sample_weight: Weight of each clip, zero or more, shape (N,); all alike if None.

    Returns:
        Shape (K,), each in [-1, 1]; 0 where either column is constant, even where both
        are constant and equal: without variation no concordance is shown.

    Raises:
        ValueError: If the shapes differ, there are no clips, or the weights are unusable.

    Reference: Lin, 1989 (doi:10.2307/2532051), eq. 3, population moments.
    """
    spread = _spread(y_true, y_pred, sample_weight)
    offset = spread.mean_true - spread.mean_pred
    scale = (spread.variance_true + spread.variance_pred + offset**2) / 2
    return _correlation(spread, scale)


def trait_metrics(
    y_true: FloatArray, y_pred: FloatArray, sample_weight: FloatArray | None = None
) -> dict[str, dict[str, float]]:
    """Return every metric of the five traits and its plain mean over them.

    Args:
        y_true: Annotated scores in [0, 1], shape (N, 5), in OCEAN order.
        y_pred: Predicted scores, shape (N, 5).
        sample_weight: Weight of each clip, zero or more, shape (N,); all alike if None.

    Returns:
        Metric -> trait name or `"mean"` -> value.

    Raises:
        ValueError: If the scores are not of five traits, the shapes differ, there are
            no clips, or the weights are unusable.
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
        metric: name_traits(function(y_true, y_pred, sample_weight))
        for metric, function in zip(METRICS, functions, strict=True)
    }


def name_traits(values: FloatArray) -> dict[str, float]:
    """Return one value per trait by name, with their plain mean under `"mean"`.

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
    """Return where columns vary by less than a millionth of their magnitude.

    Below that, a variance taken from sums is rounding noise, and float32 scores differ
    in their last digits only. One rule for all metrics keeps them in agreement; it is
    written with operators alone, so it holds for numpy arrays and for tensors.

    Args:
        mean: Mean of each column, any shape.
        variance: Population variance of each column, the same shape.
    """
    return variance <= CONSTANT_TOLERANCE * (1.0 + mean * mean)


def as_columns(
    y_true: FloatArray, y_pred: FloatArray, sample_weight: FloatArray | None = None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return truth (N, K), prediction (N, K) and clip weights (N,), checked, in float64.

    Raises:
        ValueError: If the shapes differ, there are no clips, or the weights are not N
            finite numbers, zero or more, with a positive sum.
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
    if sample_weight is None:
        return true, pred, np.ones(len(true))
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (len(true),):
        raise ValueError(f"sample_weight must have shape ({len(true)},); found {weight.shape}")
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0):
        raise ValueError(
            "sample_weight must be finite, zero or more, and positive for at least one clip; "
            f"found a minimum of {weight.min()} and a sum of {weight.sum()}"
        )
    return true, pred, weight


def _spread(y_true: FloatArray, y_pred: FloatArray, sample_weight: FloatArray | None) -> _Spread:
    true, pred, weight = as_columns(y_true, y_pred, sample_weight)
    mean_true, mean_pred = _average(true, weight), _average(pred, weight)
    centred_true, centred_pred = true - mean_true, pred - mean_pred
    return _Spread(
        mean_true=mean_true,
        mean_pred=mean_pred,
        variance_true=_average(centred_true**2, weight),
        variance_pred=_average(centred_pred**2, weight),
        covariance=_average(centred_true * centred_pred, weight),
    )


def _correlation(spread: _Spread, scale: FloatArray) -> FloatArray:
    """Return covariance over `scale`, shape (K,); 0 where either column is constant."""
    flat = is_constant(spread.mean_true, spread.variance_true) | is_constant(
        spread.mean_pred, spread.variance_pred
    )
    ratio = spread.covariance / np.where(flat, 1.0, scale)
    # Rounding can carry a perfect correlation one unit in the last place past 1.
    return np.where(flat, 0.0, np.clip(ratio, -1.0, 1.0))


def _average(values: FloatArray, weight: FloatArray) -> FloatArray:
    # Dividing once, at the end, keeps the mean of integers and of equal values exact.
    return np.sum(values * weight[:, None], axis=0) / weight.sum()
