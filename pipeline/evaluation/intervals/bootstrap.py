"""Confidence intervals of metrics, from resampled groups (cluster bootstrap).

Clips from one video or person are similar, so they are not independent samples. Intervals from
resampled clips would therefore be too narrow. Groups are nearly independent.

All metrics are functions of seven moments per trait. The moments of a resample are the sums of the
moments of its groups. Therefore the moments of all resamples are one matrix product: group counts
(B, G) times group moments (G, 7 K), with one row per resample.

Shapes: N clips, K traits, G groups, B resamples.

Reference: Davison & Hinkley, 1997, Bootstrap Methods and their Application
    (doi:10.1017/CBO9780511802843), sections 3.8 and 5.3.1; Field & Welsh, 2007
    (doi:10.1111/j.1467-9868.2007.00593.x), the cluster bootstrap.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.seeds import generator
from pipeline.metrics.regression import (
    METRICS,
    metrics_from_moments,
    name_traits,
    row_moments,
    trait_metrics,
)
from pipeline.records.evaluation import Interval
from pipeline.records.predictions import Names

CONFIDENCE: Final = 0.95
"""Confidence level of the intervals in all reports."""

_MAX_COUNTS: Final = 2_000_000
"""Maximum number of group counts in memory at the same time; these counts take 16 MB."""


def cluster_bootstrap(
    y_true: FloatArray,
    y_pred: FloatArray,
    groups: Names,
    *,
    trait_names: Sequence[str],
    num_resamples: int = 2000,
    confidence: float = CONFIDENCE,
    seed: int,
) -> dict[str, dict[str, Interval]]:
    """Compute every metric with its percentile interval, per trait and for the mean of traits.

    Args:
        y_true: Annotated scores in [0, 1], shape (N, K).
        y_pred: Predicted scores, shape (N, K).
        groups: Group of each clip, N names; whole groups are resampled.
        trait_names: Names of the K columns.
        num_resamples: Number of resamples B.
        confidence: Share of the resamples inside the interval, in (0, 1).
        seed: Random seed.

    Raises:
        ValueError: If the shapes differ, there are no clips, or an option is out of range.
    """
    bootstrap = GroupBootstrap(
        groups,
        trait_names=trait_names,
        num_resamples=num_resamples,
        confidence=confidence,
        seed=seed,
    )
    return bootstrap.intervals(bootstrap.score(y_true, y_pred))


def paired_differences(
    y_true: FloatArray,
    y_pred_a: FloatArray,
    y_pred_b: FloatArray,
    groups: Names,
    *,
    trait_names: Sequence[str],
    num_resamples: int = 2000,
    confidence: float = CONFIDENCE,
    seed: int,
) -> dict[str, dict[str, Interval]]:
    """Compute the difference of every metric, model B minus model A, with its interval.

    The metrics of both models are computed on the same resamples. Variation that affects both
    models cancels. An interval derived from the separate intervals of the models would usually
    be wider. Other arguments and errors are those of `cluster_bootstrap`.
    """
    bootstrap = GroupBootstrap(
        groups,
        trait_names=trait_names,
        num_resamples=num_resamples,
        confidence=confidence,
        seed=seed,
    )
    a, b = (bootstrap.score(y_true, y_pred) for y_pred in (y_pred_a, y_pred_b))
    return bootstrap.intervals(difference(a, b))


def group_means(
    values: FloatArray,
    groups: Names,
    *,
    trait_names: Sequence[str],
    num_resamples: int,
    seed: int,
) -> dict[str, Interval]:
    """Compute the mean of `values` (N, K) for each trait and for the mean of traits.

    Each mean has a 95 % interval. Every group has the same weight. Arguments and errors are those
    of `cluster_bootstrap`.

    Returns:
        Trait name or "mean" -> mean over groups.
    """
    bootstrap = GroupBootstrap(
        groups, trait_names=trait_names, num_resamples=num_resamples, seed=seed
    )
    table = bootstrap.sums(values) / bootstrap.group_sizes[:, None]
    table = np.column_stack([table, table.mean(axis=1)])
    means = dict(zip((*trait_names, "mean"), table.mean(axis=0).tolist(), strict=True))
    return bootstrap.with_ends(means, bootstrap.resampled_sums(table) / len(table))


@dataclass(frozen=True, kw_only=True, eq=False)
class ResampledScores:
    """Metrics of a model, or a difference or mean of metrics, on all clips and on resamples."""

    values: Mapping[str, Mapping[str, float]]
    """Metric -> trait name or "mean" -> value on all clips."""
    resampled: Mapping[str, FloatArray]
    """Metric -> values on the resamples, shape (B, K + 1). The last column is the mean."""


def difference(a: ResampledScores, b: ResampledScores) -> ResampledScores:
    """Return the metrics of B minus the metrics of A on the same resamples."""
    return ResampledScores(
        values={
            metric: {name: b.values[metric][name] - value for name, value in by_trait.items()}
            for metric, by_trait in a.values.items()
        },
        resampled={metric: b.resampled[metric] - a.resampled[metric] for metric in METRICS},
    )


class GroupBootstrap:
    """Resamples of groups. Equal groups and equal seeds give equal resamples.

    The scores of each model are resampled once. They then give the intervals of this model, and
    its differences from other models. Arguments and errors are those of `cluster_bootstrap`.
    """

    def __init__(
        self,
        groups: Names,
        *,
        trait_names: Sequence[str],
        num_resamples: int,
        confidence: float = CONFIDENCE,
        seed: int,
    ) -> None:
        if num_resamples < 1 or not 0 < confidence < 1:
            raise ValueError(
                "expected at least one resample and a confidence between 0 and 1; "
                f"found num_resamples={num_resamples}, confidence={confidence}"
            )
        _, self._codes, self.group_sizes = np.unique(
            np.asarray(groups, dtype=np.str_), return_inverse=True, return_counts=True
        )
        self._num_groups = len(self.group_sizes)
        self._trait_names = tuple(trait_names)
        self._num_resamples = num_resamples
        self._tail = (1 - confidence) / 2
        self._seed = seed

    def score(
        self, y_true: FloatArray, y_pred: FloatArray, rows: IntArray | None = None
    ) -> ResampledScores:
        """Compute the metrics of a model on all clips and on the resamples.

        If the model has scores for only some of the clips, `rows` contains their indices. The
        metrics are NaN on a resample without any of these clips.
        """
        moments = row_moments(y_true, y_pred)
        if rows is not None:
            all_moments = np.zeros((len(self._codes), *moments.shape[1:]))
            all_moments[rows] = moments
            moments = all_moments
        sums = self.resampled_sums(self.sums(moments).reshape(self._num_groups, -1))
        metrics = metrics_from_moments(sums.reshape(-1, *moments.shape[1:]))
        return ResampledScores(
            values=trait_metrics(y_true, y_pred, trait_names=self._trait_names),
            resampled={
                metric: np.column_stack([values, values.mean(axis=1)])
                for metric, values in metrics.items()
            },
        )

    def intervals(self, scores: ResampledScores) -> dict[str, dict[str, Interval]]:
        """Return every metric with its percentile interval."""
        return {
            metric: self.with_ends(scores.values[metric], scores.resampled[metric])
            for metric in METRICS
        }

    def errors_in_units(
        self, scores: ResampledScores, widths: FloatArray
    ) -> dict[str, dict[str, Interval]]:
        """Return MAE and RMSE in other units than scores, with their intervals.

        `widths` (K,) contains the length of the score range of each trait in these units. The
        value of "mean" is the mean of the errors of the traits. It is left out if the widths
        differ, because the traits then have different units.

        Returns:
            `mae` or `rmse` -> trait name or "mean" -> error.
        """
        errors = {}
        for name, metric, scaled in (("mae", "mae", np.asarray), ("rmse", "mse", np.sqrt)):
            values = np.array([scores.values[metric][trait] for trait in self._trait_names])
            rows = scaled(scores.resampled[metric][:, :-1]) * widths
            errors[name] = self.with_ends(
                name_traits(scaled(values) * widths, self._trait_names),
                np.column_stack([rows, rows.mean(axis=1)]),
            )
            if len(set(widths.tolist())) > 1:
                del errors[name]["mean"]
        return errors

    def with_ends(self, values: Mapping[str, float], resampled: FloatArray) -> dict[str, Interval]:
        """Add percentile intervals to the values. `resampled` has shape (B, K + 1)."""
        if self._num_groups < 2:
            ends = np.full((2, resampled.shape[1]), np.nan)
        else:
            ends = np.quantile(resampled, [self._tail, 1 - self._tail], axis=0)
        return {
            name: Interval(values[name], low, high)
            for name, low, high in zip((*self._trait_names, "mean"), *ends.tolist(), strict=True)
        }

    def sums(self, rows: FloatArray) -> FloatArray:
        """Return the sum of the rows of each group, shape (G, ...)."""
        if len(rows) != len(self._codes):
            raise ValueError(
                f"expected one group per clip; found {len(rows)} clips and "
                f"{len(self._codes)} groups"
            )
        sums = np.zeros((self._num_groups, *rows.shape[1:]))
        np.add.at(sums, self._codes, rows)
        return sums

    def resampled_sums(self, table: FloatArray) -> FloatArray:
        """Return the sum over the groups of each resample, shape (B, ...)."""
        return np.concatenate([counts @ table for counts in self._counts()])

    def _counts(self) -> Iterator[FloatArray]:
        """Yield chunks of group counts, with one row per resample and one column per group."""
        numbers = generator(self._seed, "bootstrap")
        chunk = max(1, _MAX_COUNTS // self._num_groups)
        for start in range(0, self._num_resamples, chunk):
            size = min(chunk, self._num_resamples - start)
            sampled = numbers.integers(self._num_groups, size=(size, self._num_groups))
            cells = sampled + self._num_groups * np.arange(size)[:, None]
            counts = np.bincount(cells.ravel(), minlength=cells.size)
            yield counts.reshape(cells.shape).astype(np.float64)
