"""Baselines of a model: training mean, same-group mean and ridge regression.

Shapes: N training clips, M evaluated clips, Ds static features, Dd dynamic features,
K traits, G groups.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.errors import PipelineError, RunError
from pipeline.core.files import read_arrays, write_arrays
from pipeline.evaluation.ridge import Ridge, Rows, fit_ridge
from pipeline.records.predictions import Names


@dataclass(frozen=True, kw_only=True, eq=False)
class Baselines:
    """Three predictors, fitted on the training clips.

    - `training_mean`: the mean score of the training clips.
    - `same_group_mean`: the mean label of all *other* training and evaluated clips of the same
      group. This baseline uses labels of evaluated clips, so it is not a valid predictor. Its
      metrics show the effect of a simple leak; other leaks can have more effect. If subsets share
      groups and a model reaches these metrics, the model has probably learned identities.
    - `ridge`: ridge regression on the pooled features of both streams.
    """

    training_mean: FloatArray
    """Mean score of the training clips, shape (K,)."""
    clip_ids: NDArray[np.str_]
    """Ids of the training clips, shape (N,)."""
    group_names: NDArray[np.str_]
    """Names of the training groups, shape (G,)."""
    group_sums: FloatArray
    """Sum of the training scores of each group, shape (G, K)."""
    group_counts: IntArray
    """Number of training clips of each group, shape (G,)."""
    static_width: int
    """Number of static features Ds; the other features are dynamic."""
    ridge: Ridge
    """Ridge regression on the concatenated static and dynamic features."""

    def predict(
        self,
        static_pooled: Rows,
        dynamic_pooled: Rows,
        *,
        labels: FloatArray,
        groups: Names,
        clip_ids: Names,
    ) -> dict[str, FloatArray]:
        """Predict the scores of M clips with each baseline.

        The arguments are those of `fit_baselines`, for the evaluated clips. Only
        `same_group_mean` uses the labels. If an evaluated clip is also a
        training clip, its label is counted once.

        Returns:
            Baseline -> scores, shape (M, K). Ridge scores are not clipped to [0, 1]. Without
            `same_group_mean` if no evaluated clip shares its group with another clip, because
            this baseline would then equal `training_mean`.

        Raises:
            RunError: If the number of static or dynamic features differs from training.
        """
        widths = (static_pooled.shape[1], dynamic_pooled.shape[1])
        expected = (self.static_width, len(self.ridge.feature_mean) - self.static_width)
        if widths != expected:
            raise RunError(
                f"the baselines need {expected[0]} static and {expected[1]} dynamic features, but "
                f"there are {widths[0]} and {widths[1]}. Extract the "
                "features with the encoder of the training features."
            )
        scores = np.asarray(labels, dtype=np.float64)
        found = {"training_mean": np.tile(self.training_mean, (len(scores), 1))}
        same_group_mean = self._same_group_mean(scores, _names(groups), _names(clip_ids))
        if same_group_mean is not None:
            found["same_group_mean"] = same_group_mean
        found["ridge"] = self.ridge.predict(_Concatenated(static_pooled, dynamic_pooled))
        return found

    def _same_group_mean(
        self, labels: FloatArray, groups: NDArray[np.str_], clip_ids: NDArray[np.str_]
    ) -> FloatArray | None:
        """Return, for each clip, the mean label (M, K) of the other clips in the same group.

        If a group has no other clips, the mean is the training mean. If no group has other clips,
        the result is None.
        """
        is_new = ~np.isin(clip_ids, self.clip_ids)
        names, codes = np.unique(np.concatenate([self.group_names, groups]), return_inverse=True)
        training, evaluated = codes[: len(self.group_names)], codes[len(self.group_names) :]
        sums = np.zeros((len(names), labels.shape[1]))
        counts = np.zeros(len(names), dtype=np.int64)
        sums[training], counts[training] = self.group_sums, self.group_counts
        np.add.at(sums, evaluated[is_new], labels[is_new])
        np.add.at(counts, evaluated[is_new], 1)
        num_others = counts[evaluated] - 1
        if not num_others.any():
            return None
        others = (sums[evaluated] - labels) / np.maximum(num_others, 1)[:, None]
        return np.where(num_others[:, None] > 0, others, self.training_mean)


def fit_baselines(
    static_pooled: Rows,
    dynamic_pooled: Rows,
    *,
    labels: FloatArray,
    groups: Names,
    clip_ids: Names,
    seed: int,
) -> Baselines:
    """Fit the three baselines on the training clips.

    Args:
        static_pooled: Static features, pooled over time, shape (N, Ds).
        dynamic_pooled: Dynamic features, pooled over time, shape (N, Dd).
        labels: Annotated scores in [0, 1], shape (N, K).
        groups: Group of each clip, N names.
        clip_ids: Id of each clip, N names.
        seed: Random seed of the folds that select the ridge penalty.

    Raises:
        ValueError: If there are no clips, or the numbers of rows differ.
    """
    counts = {static_pooled.shape[0], dynamic_pooled.shape[0]}
    counts |= {len(rows) for rows in (labels, groups, clip_ids)}
    if len(counts) != 1 or counts == {0}:
        raise ValueError(f"expected the same number of rows everywhere, found {sorted(counts)}")
    scores = np.asarray(labels, dtype=np.float64)
    names, codes, group_counts = np.unique(_names(groups), return_inverse=True, return_counts=True)
    group_sums = np.zeros((len(names), scores.shape[1]))
    np.add.at(group_sums, codes, scores)
    return Baselines(
        training_mean=scores.mean(axis=0),
        clip_ids=_names(clip_ids),
        group_names=names,
        group_sums=group_sums,
        group_counts=group_counts,
        static_width=static_pooled.shape[1],
        ridge=fit_ridge(_Concatenated(static_pooled, dynamic_pooled), scores, codes, seed=seed),
    )


def save_baselines(path: Path, baselines: Baselines) -> None:
    """Write fitted baselines atomically to an `.npz` file of plain arrays."""
    arrays = {**vars(baselines), **{f"ridge_{k}": v for k, v in vars(baselines.ridge).items()}}
    del arrays["ridge"]
    write_arrays(path, arrays)


def load_baselines(path: Path) -> Baselines:
    """Read the baselines that `save_baselines` has written.

    Raises:
        RunError: If the file is missing or damaged.
    """
    try:
        arrays: dict[str, Any] = read_arrays(path)
        ridge = {k.removeprefix("ridge_"): arrays.pop(k) for k in [*arrays] if k[:6] == "ridge_"}
        ridge["alpha"] = float(ridge["alpha"])
        arrays["static_width"] = int(arrays["static_width"])
        return Baselines(ridge=Ridge(**ridge), **arrays)
    except PipelineError as error:
        raise RunError(f"{error} Restore the file from a backup, or start a new run.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{path}: does not contain fitted baselines ({error}). Start a new run."
        ) from error


def _names(names: Names) -> NDArray[np.str_]:
    return np.asarray(names, dtype=np.str_)


@dataclass(frozen=True, eq=False)
class _Concatenated:
    """Features of both streams, read in slices."""

    static: Rows
    dynamic: Rows

    @property
    def shape(self) -> tuple[int, int]:
        return self.static.shape[0], self.static.shape[1] + self.dynamic.shape[1]

    def __getitem__(self, part: slice) -> FloatArray:
        return np.hstack([self.static[part], self.dynamic[part]])
