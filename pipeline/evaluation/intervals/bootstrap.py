"""How far a metric can be trusted: intervals from resampled groups.

Clips of one video or person resemble each other, so rows are no independent sample of
the world; whole groups nearly are. Resampling rows would give intervals that are too
narrow. Every metric follows from sums that add up over groups, so that a resample is
one row of a matrix product: group counts (B, G) times group moments (G, 7 K).

Shapes: N clips, K = 5 traits, G groups, B resamples.

Reference: Davison & Hinkley, 1997, Bootstrap Methods and their Application
    (doi:10.1017/CBO9780511802843), sections 3.8 and 5.3.1; Field & Welsh, 2007
    (doi:10.1111/j.1467-9868.2007.00593.x), the cluster bootstrap.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from pipeline.core.arrays import FloatArray, IntArray
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
"""Group counts held at a time; 16 MB, whatever the number of groups."""


def cluster_bootstrap(
    y_true: FloatArray,
    y_pred: FloatArray,
    groups: Names,
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int,
) -> dict[str, dict[str, Interval]]:
    """Return every metric, per trait and on average, with its percentile interval.

    Args:
        y_true: Annotated scores in [0, 1], shape (N, 5), in OCEAN order.
        y_pred: Predicted scores, shape (N, 5).
        groups: Group of each clip, N names; whole groups are resampled.
        num_resamples: Number of resamples B.
        confidence: Share of the resamples that the interval holds, in (0, 1).
        seed: Seed of the experiment.

    Raises:
        ValueError: If the shapes differ, there are no clips, or an option is out of range.
    """
    draws = _Draws(groups, num_resamples=num_resamples, confidence=confidence, seed=seed)
    return draws.intervals(
        trait_metrics(y_true, y_pred), draws.resample(row_moments(y_true, y_pred))
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
    """Return B minus A in every metric, with the interval of that difference.

    Both are scored on the same resampled groups, so that what makes a resample hard
    for both cancels: the interval is far narrower than two separate ones suggest.

    Args:
        y_true: Annotated scores in [0, 1], shape (N, 5), in OCEAN order.
        y_pred_a: Scores predicted by A, shape (N, 5).
        y_pred_b: Scores predicted by B, shape (N, 5).
        groups: Group of each clip, N names; whole groups are resampled.
        num_resamples: Number of resamples.
        confidence: Share of the resamples that the interval holds, in (0, 1).
        seed: Seed of the experiment.

    Raises:
        ValueError: If the shapes differ, there are no clips, or an option is out of range.
    """
    draws = _Draws(groups, num_resamples=num_resamples, confidence=confidence, seed=seed)
    values_a, values_b = trait_metrics(y_true, y_pred_a), trait_metrics(y_true, y_pred_b)
    resampled_a = draws.resample(row_moments(y_true, y_pred_a))
    resampled_b = draws.resample(row_moments(y_true, y_pred_b))
    return draws.intervals(
        {
            metric: {name: values_b[metric][name] - value for name, value in by_trait.items()}
            for metric, by_trait in values_a.items()
        },
        {metric: resampled_b[metric] - resampled_a[metric] for metric in METRICS},
    )


def group_means(
    values: FloatArray,
    groups: Names,
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int,
) -> dict[str, Interval]:
    """Return the mean of each column, and of all, with every group weighing the same.

    Args:
        values: One number a clip and trait, shape (N, 5), in OCEAN order.
        groups: Group of each clip, N names; whole groups are resampled.
        num_resamples: Number of resamples B.
        confidence: Share of the resamples that the interval holds, in (0, 1).
        seed: Seed of the experiment.

    Raises:
        ValueError: If the shapes differ, or an option is out of range.
    """
    draws = _Draws(groups, num_resamples=num_resamples, confidence=confidence, seed=seed)
    return draws.means(values)


class _Draws:
    """Resampled groups: the same ones for every prediction that is scored with them."""

    def __init__(self, groups: Names, *, num_resamples: int, confidence: float, seed: int) -> None:
        if num_resamples < 1 or not 0 < confidence < 1:
            raise ValueError(
                "expected one resample or more and a confidence between 0 and 1; "
                f"found num_resamples={num_resamples}, confidence={confidence}"
            )
        names, self._codes = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
        self._num_groups = len(names)
        self._num_resamples = num_resamples
        self._tail = (1 - confidence) / 2
        self._seed = seed

    def resample(self, rows: FloatArray) -> dict[str, FloatArray]:
        """Return metric -> (B, K + 1): each trait, then the mean, from moments (N, 7, K)."""
        table = self._sums(rows).reshape(self._num_groups, -1)
        resampled = np.concatenate([counts @ table for counts in self._counts()])
        metrics = metrics_from_moments(resampled.reshape(-1, *rows.shape[1:]))
        return {
            metric: np.column_stack([values, values.mean(axis=1)])
            for metric, values in metrics.items()
        }

    def means(self, values: FloatArray) -> dict[str, Interval]:
        """Return the mean over groups of the clips' means (N, K): each trait, then the mean."""
        sizes = np.bincount(self._codes, minlength=self._num_groups)
        table = self._sums(values) / sizes[:, None]
        table = np.column_stack([table, table.mean(axis=1)])
        resampled = np.concatenate([counts @ table for counts in self._counts()])
        means = dict(zip((*TRAITS, "mean"), table.mean(axis=0).tolist(), strict=True))
        return self._column(means, resampled / self._num_groups)

    def _sums(self, rows: FloatArray) -> FloatArray:
        """Return the sum of the rows of each group, shape (G, ...)."""
        if len(rows) != len(self._codes):
            raise ValueError(f"{len(rows)} clips need as many groups; found {len(self._codes)}")
        sums = np.zeros((self._num_groups, *rows.shape[1:]))
        np.add.at(sums, self._codes, rows)
        return sums

    def intervals(
        self, values: Mapping[str, Mapping[str, float]], resampled: Mapping[str, FloatArray]
    ) -> dict[str, dict[str, Interval]]:
        """Return each value with the percentile interval of its resamples (B, K + 1)."""
        return {metric: self._column(values[metric], resampled[metric]) for metric in METRICS}

    def _column(self, values: Mapping[str, float], resampled: FloatArray) -> dict[str, Interval]:
        if self._num_groups < 2:
            ends = np.full((2, len(TRAITS) + 1), np.nan)
        else:
            ends = np.quantile(resampled, [self._tail, 1 - self._tail], axis=0)
        return {
            name: Interval(values[name], low, high)
            for name, low, high in zip((*TRAITS, "mean"), *ends.tolist(), strict=True)
        }

    def _counts(self) -> Iterator[FloatArray]:
        """Yield how often each group is drawn, (some of the B resamples, G), chunk by chunk."""
        numbers = generator(self._seed, "bootstrap")
        chunk = max(1, _MAX_COUNTS // self._num_groups)
        for start in range(0, self._num_resamples, chunk):
            size = min(chunk, self._num_resamples - start)
            drawn = numbers.integers(self._num_groups, size=(size, self._num_groups))
            yield _count_rows(drawn).astype(np.float64)


def _count_rows(drawn: IntArray) -> IntArray:
    """Return how often each of 0 ... G - 1 stands in each row of `drawn`, shape (B, G)."""
    num_rows, num_groups = drawn.shape
    cells = drawn + num_groups * np.arange(num_rows)[:, None]
    return np.bincount(cells.ravel(), minlength=drawn.size).reshape(drawn.shape)
