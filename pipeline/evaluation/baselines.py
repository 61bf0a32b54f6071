"""Baselines of a model: training mean, same-group mean and ridge regression.

Shapes: N training clips, M evaluated clips, S streams, D features of a stream, K traits, G groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.errors import PipelineError, RunError
from pipeline.core.files import read_arrays, write_arrays
from pipeline.core.stream_names import DYNAMIC, STATIC
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
    - `ridge`: ridge regression on the pooled features of all streams. If a clip lacks a stream, the
      features are the means of the training clips.
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
    stream_names: NDArray[np.str_]
    """Names of the streams, shape (S,)."""
    widths: IntArray
    """Number of features D of each stream, shape (S,)."""
    ridge: Ridge
    """Ridge regression on the concatenated features of the streams."""

    def predict(
        self,
        pooled: Mapping[str, Rows],
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
            RunError: If the streams, or their numbers of features, differ from training.
        """
        found = {name: rows.shape[1] for name, rows in pooled.items()}
        expected = dict(zip(self.stream_names.tolist(), self.widths.tolist(), strict=True))
        if list(found.items()) != list(expected.items()):
            raise RunError(
                f"the baselines need {_described(expected)} features, but there are "
                f"{_described(found)}. Extract the features with the encoder of the training "
                "features."
            )
        scores = np.asarray(labels, dtype=np.float64)
        predicted = {"training_mean": np.tile(self.training_mean, (len(scores), 1))}
        same_group_mean = self._same_group_mean(scores, _names(groups), _names(clip_ids))
        if same_group_mean is not None:
            predicted["same_group_mean"] = same_group_mean
        predicted["ridge"] = self.ridge.predict(_Concatenated(tuple(pooled.values())))
        return predicted

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
    pooled: Mapping[str, Rows],
    *,
    labels: FloatArray,
    groups: Names,
    clip_ids: Names,
    seed: int,
) -> Baselines:
    """Fit the three baselines on the training clips.

    Args:
        pooled: Name -> features of a stream, pooled over time, shape (N, D). If a clip lacks the
            stream, its features are NaN.
        labels: Annotated scores in [0, 1], shape (N, K).
        groups: Group of each clip, N names.
        clip_ids: Id of each clip, N names.
        seed: Random seed of the folds that select the ridge penalty.

    Raises:
        ValueError: If there are no clips, or the numbers of rows differ.
    """
    counts = {rows.shape[0] for rows in pooled.values()}
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
        stream_names=_names(tuple(pooled)),
        widths=np.array([rows.shape[1] for rows in pooled.values()], dtype=np.int64),
        ridge=fit_ridge(_Concatenated(tuple(pooled.values())), scores, codes, seed=seed),
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
        if "static_width" in arrays:  # early versions had the streams static and dynamic
            width = int(arrays.pop("static_width"))
            arrays["stream_names"] = _names((STATIC, DYNAMIC))
            arrays["widths"] = np.array([width, len(ridge["feature_mean"]) - width])
        return Baselines(ridge=Ridge(**ridge), **arrays)
    except PipelineError as error:
        raise RunError(f"{error} Restore the file from a backup, or start a new run.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{path}: does not contain fitted baselines ({error}). Start a new run."
        ) from error


def _names(names: Names) -> NDArray[np.str_]:
    return np.asarray(names, dtype=np.str_)


def _described(widths: Mapping[str, int]) -> str:
    return " and ".join(f"{width} {name}" for name, width in widths.items())


@dataclass(frozen=True, eq=False)
class _Concatenated:
    """Features of all streams, read in slices."""

    streams: Sequence[Rows]

    @property
    def shape(self) -> tuple[int, int]:
        return self.streams[0].shape[0], sum(rows.shape[1] for rows in self.streams)

    def __getitem__(self, part: slice) -> FloatArray:
        return np.hstack([rows[part] for rows in self.streams])
