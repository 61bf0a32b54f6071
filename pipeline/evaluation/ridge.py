"""Ridge regression with a penalty selected on held-out groups.

A missing feature is NaN. Its standardized value is 0, the mean of the training clips.

The fit needs only sums over the clips of each fold. The sums are accumulated while the features
are read in chunks, so the features need not fit in memory, except if D > N. `RidgeCV` from
scikit-learn gives the same result, but needs eight copies of the features in memory.

Shapes: N clips, n clips of a chunk, D features, K traits.

Reference: Hoerl & Kennard, 1970 (doi:10.1080/00401706.1970.10488634), eq. 2.1.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from pipeline.core.arrays import FloatArray, IntArray

ALPHAS: Final = tuple(10.0**exponent for exponent in range(-1, 6))
"""Candidate penalties for standardized features."""

_MAX_FOLDS: Final = 5
_CHUNK_BYTES: Final = 64 * 2**20


class Rows(Protocol):
    """Features that can be read in slices: an array, or an object that builds slices on demand."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all features, (N, D)."""
        ...

    def __getitem__(self, part: slice, /) -> FloatArray:
        """Return the rows of a slice, shape (n, D)."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Ridge:
    """Fitted linear function from features to scores."""

    feature_mean: FloatArray
    """Mean of each feature over the training clips that have the feature, shape (D,)."""
    feature_scale: FloatArray
    """Standard deviation of each feature, or 1 for a constant feature, shape (D,)."""
    coefficients: FloatArray
    """Weight of each standardized feature, shape (D, K)."""
    intercept: FloatArray
    """Mean score of the training clips, shape (K,)."""
    alpha: float
    """Selected penalty."""

    def predict(self, features: Rows) -> FloatArray:
        """Predict scores (N, K) from features (N, D). The scores are not clipped to [0, 1]."""
        scores = np.empty((features.shape[0], len(self.intercept)))
        for part in _chunks(features):
            standardized = _filled((features[part] - self.feature_mean) / self.feature_scale)
            scores[part] = standardized @ self.coefficients + self.intercept
        return scores


def fit_ridge(features: Rows, labels: FloatArray, groups: IntArray, *, seed: int) -> Ridge:
    """Fit a ridge regression. Select the penalty with the smallest error on held-out groups.

    Args:
        features: Features in any unit, shape (N, D); NaN if a clip lacks a feature.
        labels: Annotated scores, shape (N, K).
        groups: Group number of each clip, shape (N,). If there is only one group, each clip is
            treated as its own group.
        seed: Random seed for the assignment of groups to folds.
    """
    mean, scale = _mean_and_scale(features)

    def standardized(part: slice) -> FloatArray:
        return _filled((np.asarray(features[part], dtype=np.float64) - mean) / scale)

    labels = np.asarray(labels, dtype=np.float64)
    mean_label = labels.mean(axis=0)
    folds = _fold_numbers(groups, seed=seed)
    read, axes = _reduced(features, standardized)
    sums = [_Sums.zero(len(axes), labels.shape[1]) for _ in range(folds.max() + 1)]
    for part in _chunks(features):
        values, scores = read(part), labels[part] - mean_label
        for number, fold in enumerate(sums):
            in_fold = folds[part] == number
            fold.add(values[in_fold], scores[in_fold])
    total = sum(sums[1:], start=sums[0])
    # If there is only one clip, it cannot be held out, so no penalty is selected. Any penalty gives
    # an exact fit.
    alpha = _best_alpha(total, sums) if len(sums) > 1 else ALPHAS[-1]
    coefficients, intercept = total.solve(alpha)
    return Ridge(
        feature_mean=mean,
        feature_scale=scale,
        coefficients=axes.T @ coefficients,
        intercept=mean_label + intercept,
        alpha=alpha,
    )


@dataclass(eq=False)
class _Sums:
    """Sums over clips that determine a ridge regression and its errors."""

    count: int
    features: FloatArray
    labels: FloatArray
    gram: FloatArray
    cross: FloatArray
    squares: float

    @classmethod
    def zero(cls, num_features: int, num_traits: int) -> "_Sums":
        gram, cross = (num_features, num_features), (num_features, num_traits)
        features, labels = np.zeros(num_features), np.zeros(num_traits)
        return cls(0, features, labels, np.zeros(gram), np.zeros(cross), 0.0)

    def add(self, features: FloatArray, labels: FloatArray) -> None:
        self.count += len(features)
        self.features += features.sum(axis=0)
        self.labels += labels.sum(axis=0)
        self.gram += features.T @ features
        self.cross += features.T @ labels
        self.squares += float(np.vdot(labels, labels))

    def __add__(self, other: "_Sums") -> "_Sums":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return _Sums(*(left + right for left, right in pairs))

    def __sub__(self, other: "_Sums") -> "_Sums":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return _Sums(*(left - right for left, right in pairs))

    def solve(self, alpha: float) -> tuple[FloatArray, FloatArray]:
        """Return the coefficients (D, K) and the unpenalized intercept (K,)."""
        mean = self.features / self.count
        gram = self.gram - np.outer(mean, self.features)
        gram[np.diag_indices_from(gram)] += alpha
        cross = self.cross - np.outer(mean, self.labels)
        coefficients = np.linalg.solve(gram, cross)
        return coefficients, self.labels / self.count - mean @ coefficients

    def mean_squared_error(self, coefficients: FloatArray, intercept: FloatArray) -> float:
        """Return the squared error of a regression, averaged over these clips and the traits."""
        products = np.vdot(coefficients, self.cross) + self.labels @ intercept
        predicted_squares = (
            np.vdot(coefficients, self.gram @ coefficients)
            + 2 * (self.features @ coefficients) @ intercept
            + self.count * intercept @ intercept
        )
        error = self.squares - 2 * products + predicted_squares
        return float(error) / (self.count * len(intercept))


def _mean_and_scale(features: Rows) -> tuple[FloatArray, FloatArray]:
    """Return the mean and the scale of each feature, each of shape (D,). NaN is ignored.

    The result equals that of `StandardScaler` from scikit-learn, whose import takes a second.

    Reference: Chan, Golub & LeVeque, 1983 (doi:10.1080/00031305.1983.10483115), eq. 1.5.
    """
    count = mean = variance = np.zeros(features.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):  # a feature may be missing in a chunk
        for part in _chunks(features):
            values = np.asarray(features[part], dtype=np.float64)
            num_new = len(values) - np.isnan(values).sum(axis=0)
            new_sum = np.nansum(values, axis=0)
            deviations = values - new_sum / num_new
            new_squares = np.nansum(deviations**2, axis=0)
            new_squares -= np.nansum(deviations, axis=0) ** 2 / num_new  # correction of rounding
            old_sum = np.where(count == 0, 0.0, mean * count)
            old_squares = variance * count
            total, ratio = count + num_new, count / num_new
            between = ratio / total * (old_sum / ratio - new_sum) ** 2
            squares = np.select(
                [count == 0, num_new == 0],
                [new_squares, old_squares],
                old_squares + new_squares + between,
            )
            count, mean, variance = total, (old_sum + new_sum) / total, squares / total
    epsilon = np.finfo(np.float64).eps
    # The variance of a constant feature may be a rounding error.
    is_constant = variance <= count * epsilon * variance + (count * mean * epsilon) ** 2
    return mean, np.where(is_constant, 1.0, np.sqrt(variance))


def _filled(standardized: FloatArray) -> FloatArray:
    """Replace NaN by 0, the training mean."""
    return np.where(np.isnan(standardized), 0.0, standardized)


def _best_alpha(total: _Sums, folds: list[_Sums]) -> float:
    errors = np.zeros(len(ALPHAS))
    for held_out in folds:
        training = total - held_out
        errors += [held_out.mean_squared_error(*training.solve(alpha)) for alpha in ALPHAS]
    return ALPHAS[int(errors.argmin())]


def _reduced(
    features: Rows, standardized: Callable[[slice], FloatArray]
) -> tuple[Callable[[slice], FloatArray], FloatArray]:
    """Return two items: a function that reads the features in A dimensions, and the axes (A, D).

    If D <= N, the features are not reduced (A = D). Otherwise A = N, because N clips span at most N
    dimensions. A rotation of the axes does not change the result of ridge regression.
    """
    num_clips, num_features = features.shape
    if num_features <= num_clips:
        return standardized, np.eye(num_features)
    _, _, axes = np.linalg.svd(standardized(slice(None)), full_matrices=False)
    return lambda part: standardized(part) @ axes.T, axes


def _chunks(features: Rows) -> Iterator[slice]:
    num_clips, num_features = features.shape
    step = max(1, _CHUNK_BYTES // (8 * max(1, num_features)))
    return (slice(begin, begin + step) for begin in range(0, num_clips, step))


def _fold_numbers(groups: IntArray, *, seed: int) -> IntArray:
    """Return, for each clip, the number of the fold that holds out its group."""
    units = groups if len(np.unique(groups)) > 1 else np.arange(len(groups))
    numbers = np.zeros(len(groups), dtype=np.int64)
    num_folds = min(_MAX_FOLDS, len(np.unique(units)))
    if num_folds > 1:
        # `GroupKFold` from scikit-learn with `shuffle` gives the same folds.
        shuffled = np.random.RandomState(seed).permutation(np.unique(units))
        for number, held_out in enumerate(np.array_split(shuffled, num_folds)):
            numbers[np.isin(units, held_out)] = number
    return numbers
