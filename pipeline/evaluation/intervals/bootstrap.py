"""Confidence intervals of metrics, from resampled groups (cluster bootstrap).

Clips from one video or person are similar, so they are not independent samples. Groups nearly
are. Intervals from resampled clips would be too narrow.

All metrics follow from sums of moments over groups. A resample is therefore one row of the
matrix product of group counts (B, G) and group moments (G, 7 K).

Shapes: N clips, K = 5 traits, G groups, B resamples.

Reference: Davison & Hinkley, 1997, Bootstrap Methods and their Application
    (doi:10.1017/CBO9780511802843), sections 3.8 and 5.3.1; Field & Welsh, 2007
    (doi:10.1111/j.1467-9868.2007.00593.x), the cluster bootstrap.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.core.seeds import generator
from pipeline.core.traits import TRAITS
from pipeline.metrics.regression import (
    METRICS,
    metrics_from_moments,
    row_moments,
    trait_metrics,
)
from pipeline.records.evaluation import Interval
from pipeline.records.predictions import Names

_MAX_COUNTS: Final = 2_000_000
"""Largest number of group counts in memory: 16 MB."""


def cluster_bootstrap(
    y_true: FloatArray,
    y_pred: FloatArray,
    groups: Names,
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int,
) -> dict[str, dict[str, Interval]]:
    """Compute every metric, per trait and on average, with its percentile interval.

    Args:
        y_true: Annotated scores in [0, 1], shape (N, 5), in OCEAN order.
        y_pred: Predicted scores, shape (N, 5).
        groups: Group of each clip, N names; whole groups are resampled.
        num_resamples: Number of resamples B.
        confidence: Share of the resamples inside the interval, in (0, 1).
        seed: Seed of the experiment.

    Raises:
        ValueError: If the shapes differ, there are no clips, or an option is out of range.
    """
    bootstrap = _Bootstrap(groups, num_resamples, confidence, seed)
    return bootstrap.intervals(
        trait_metrics(y_true, y_pred), bootstrap.resample(row_moments(y_true, y_pred))
    )


def paired_differences(
    y_true: FloatArray,
    y_pred_a: FloatArray,
    y_pred_b: FloatArray,
    groups: Names,
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int,
) -> dict[str, dict[str, Interval]]:
    """Compute B minus A in every metric, with the interval of the difference.

    Both models are scored on the same resampled groups. Variation that affects both models
    cancels, so the interval is much narrower than two separate intervals suggest.

    Args:
        y_true: Annotated scores in [0, 1], shape (N, 5), in OCEAN order.
        y_pred_a: Scores predicted by A, shape (N, 5).
        y_pred_b: Scores predicted by B, shape (N, 5).
        groups: Group of each clip, N names; whole groups are resampled.
        num_resamples: Number of resamples B.
        confidence: Share of the resamples inside the interval, in (0, 1).
        seed: Seed of the experiment.

    Raises:
        ValueError: If the shapes differ, there are no clips, or an option is out of range.
    """
    bootstrap = _Bootstrap(groups, num_resamples, confidence, seed)
    values_a, values_b = trait_metrics(y_true, y_pred_a), trait_metrics(y_true, y_pred_b)
    resampled_a = bootstrap.resample(row_moments(y_true, y_pred_a))
    resampled_b = bootstrap.resample(row_moments(y_true, y_pred_b))
    return bootstrap.intervals(
        {
            metric: {name: values_b[metric][name] - value for name, value in by_trait.items()}
            for metric, by_trait in values_a.items()
        },
        {metric: resampled_b[metric] - resampled_a[metric] for metric in METRICS},
    )


def group_means(
    values: FloatArray, groups: Names, *, num_resamples: int, seed: int
) -> dict[str, Interval]:
    """Compute the mean over groups of each trait and of all traits, with 95 % intervals.

    Every group has the same weight.

    Args:
        values: One number per clip and trait, shape (N, 5), in OCEAN order.
        groups: Group of each clip, N names; whole groups are resampled.
        num_resamples: Number of resamples B.
        seed: Seed of the experiment.

    Raises:
        ValueError: If the numbers of clips differ, or there are no resamples.
    """
    return _Bootstrap(groups, num_resamples, 0.95, seed).means(values)


class _Bootstrap:
    """Resamples of groups. Every call with the same groups and seed uses the same resamples."""

    def __init__(self, groups: Names, num_resamples: int, confidence: float, seed: int) -> None:
        if num_resamples < 1 or not 0 < confidence < 1:
            raise ValueError(
                "expected at least one resample and a confidence between 0 and 1; "
                f"found num_resamples={num_resamples}, confidence={confidence}"
            )
        names, self._codes = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
        self._num_groups = len(names)
        self._num_resamples = num_resamples
        self._tail = (1 - confidence) / 2
        self._seed = seed

    def resample(self, rows: FloatArray) -> dict[str, FloatArray]:
        """Compute the metrics of each resample from the moments of the clips (N, 7, K).

        Returns:
            Metric -> shape (B, K + 1): each trait, then the mean.
        """
        resampled = self._resampled_sums(self._sums(rows).reshape(self._num_groups, -1))
        metrics = metrics_from_moments(resampled.reshape(-1, *rows.shape[1:]))
        return {
            metric: np.column_stack([values, values.mean(axis=1)])
            for metric, values in metrics.items()
        }

    def means(self, values: FloatArray) -> dict[str, Interval]:
        """Compute the mean over groups of each trait, then of all traits, from values (N, K)."""
        sizes = np.bincount(self._codes, minlength=self._num_groups)
        table = self._sums(values) / sizes[:, None]
        table = np.column_stack([table, table.mean(axis=1)])
        means = dict(zip((*TRAITS, "mean"), table.mean(axis=0).tolist(), strict=True))
        return self._with_ends(means, self._resampled_sums(table) / self._num_groups)

    def intervals(
        self, values: Mapping[str, Mapping[str, float]], resampled: Mapping[str, FloatArray]
    ) -> dict[str, dict[str, Interval]]:
        """Add the percentile interval of the resamples (B, K + 1) to each value."""
        return {metric: self._with_ends(values[metric], resampled[metric]) for metric in METRICS}

    def _with_ends(self, values: Mapping[str, float], resampled: FloatArray) -> dict[str, Interval]:
        if self._num_groups < 2:
            ends = np.full((2, len(TRAITS) + 1), np.nan)
        else:
            ends = np.quantile(resampled, [self._tail, 1 - self._tail], axis=0)
        return {
            name: Interval(values[name], low, high)
            for name, low, high in zip((*TRAITS, "mean"), *ends.tolist(), strict=True)
        }

    def _sums(self, rows: FloatArray) -> FloatArray:
        """Return the sum of the rows of each group, shape (G, ...)."""
        if len(rows) != len(self._codes):
            raise ValueError(
                f"expected one group per clip; found {len(rows)} clips and "
                f"{len(self._codes)} groups"
            )
        sums = np.zeros((self._num_groups, *rows.shape[1:]))
        np.add.at(sums, self._codes, rows)
        return sums

    def _resampled_sums(self, table: FloatArray) -> FloatArray:
        """Return the sum over the groups of each resample, shape (B, ...)."""
        return np.concatenate([counts @ table for counts in self._counts()])

    def _counts(self) -> Iterator[FloatArray]:
        """Yield how often each group is sampled, in chunks of the B resamples, with G columns."""
        numbers = generator(self._seed, "bootstrap")
        chunk = max(1, _MAX_COUNTS // self._num_groups)
        for start in range(0, self._num_resamples, chunk):
            size = min(chunk, self._num_resamples - start)
            sampled = numbers.integers(self._num_groups, size=(size, self._num_groups))
            cells = sampled + self._num_groups * np.arange(size)[:, None]
            counts = np.bincount(cells.ravel(), minlength=cells.size)
            yield counts.reshape(cells.shape).astype(np.float64)
