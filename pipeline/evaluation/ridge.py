"""Ridge regression whose penalty is chosen on whole groups that it was not fitted on.

Fitted by scikit-learn, and kept as plain arrays that load without it.

Shapes: N clips, D features, K traits.

Reference: Hoerl & Kennard, 1970 (doi:10.1080/00401706.1970.10488634), eq. 2.1.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline.core.arrays import FloatArray, IntArray

ALPHAS: Final = tuple(10.0**exponent for exponent in range(-1, 6))
"""Penalties that are tried, on standardised features: one a decade."""

_MAX_FOLDS: Final = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Ridge:
    """A linear map from features to scores."""

    feature_mean: FloatArray
    """Mean of each feature over the training clips, shape (D,)."""

    feature_scale: FloatArray
    """Standard deviation of each feature, 1 where it does not vary, shape (D,)."""

    coefficients: FloatArray
    """Weight of each standardised feature, shape (D, K)."""

    intercept: FloatArray
    """Mean score of the training clips, shape (K,)."""

    alpha: float
    """The penalty that was chosen."""

    def predict(self, features: FloatArray) -> FloatArray:
        """Return the predicted scores (N, K) of features (N, D), not clipped to [0, 1]."""
        standardised = (features - self.feature_mean) / self.feature_scale
        return standardised @ self.coefficients + self.intercept


def fit_ridge(features: FloatArray, labels: FloatArray, groups: IntArray, *, seed: int) -> Ridge:
    """Fit a ridge regression, with the penalty that errs least on held-out groups.

    Args:
        features: Shape (N, D), any unit.
        labels: Annotated scores, shape (N, K).
        groups: Number of the group of each clip, shape (N,). Where there is one group
            only, the penalty is chosen on held-out clips.
        seed: Seed of the assignment of groups to folds.
    """
    from sklearn import linear_model
    from sklearn.preprocessing import StandardScaler

    features = np.asarray(features, dtype=np.float64)
    labels = np.asarray(labels, dtype=np.float64)
    scaler = StandardScaler().fit(features)
    folds = _folds(groups, seed=seed)
    if folds:
        search = linear_model.RidgeCV(list(ALPHAS), cv=folds, scoring="neg_mean_squared_error")
        model = search.fit(scaler.transform(features), labels)
        alpha = float(model.alpha_)
    else:  # one clip: nothing can be held out, and any penalty fits it by its own score
        alpha = ALPHAS[-1]
        model = linear_model.Ridge(alpha).fit(scaler.transform(features), labels)
    return Ridge(
        feature_mean=scaler.mean_,
        feature_scale=scaler.scale_,
        # scikit-learn drops the axis of a single trait.
        coefficients=np.reshape(model.coef_, (labels.shape[1], -1)).T,
        intercept=np.atleast_1d(model.intercept_),
        alpha=alpha,
    )


def _folds(groups: IntArray, *, seed: int) -> list[Any]:
    """Return training and held-out rows of each fold; a group is in one fold only."""
    from sklearn.model_selection import GroupKFold

    units = groups if len(np.unique(groups)) > 1 else np.arange(len(groups))
    num_folds = min(_MAX_FOLDS, len(np.unique(units)))
    if num_folds < 2:
        return []
    splitter = GroupKFold(num_folds, shuffle=True, random_state=seed)
    return list(splitter.split(units, groups=units))
