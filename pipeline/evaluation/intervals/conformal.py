"""Prediction intervals from errors on held-out groups, and the coverage of these intervals.

The method is hierarchical split conformal prediction. Clips from one group have similar errors.
Therefore clips are not exchangeable, but groups nearly are. Each of the G calibration groups has
weight 1 / (G + 1), divided equally among its clips. The group of the new clip has the same weight
and an infinite error. The half-width is the smallest error with a cumulative weight of at least
the level. The interval is the prediction plus and minus the half-width, clipped to [0, 1].

Coverage is the probability that the interval of a clip from a new group contains its annotated
score. For any model, the coverage is at least the level if two conditions hold:

- The new group is exchangeable with the calibration groups: same population, same encoder.
- The model was not trained on the calibration groups. These groups are also used to select the
  best epoch, so their errors are slightly too small. `measure_coverage` measures this effect.

The coverage is an average over groups, for each trait separately. The coverage of all traits
together, or of one subgroup, can be lower.

Shapes: N clips, K traits, G groups.

Reference: Lee, Barber & Willett, 2023, Distribution-free inference with hierarchical data
    (arXiv:2306.06342), hierarchical conformal prediction with the score |y - f(x)|; Dunn,
    Wasserman & Ramdas, 2022 (arXiv:1809.07441), who sample one clip per group instead. Here the
    quantile is taken over all such samples, so it is not random.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.core.seeds import generator
from pipeline.evaluation.intervals.bootstrap import group_means
from pipeline.metrics.regression import name_traits
from pipeline.records.calibration import LEVEL, VALIDATION, Calibration, min_groups
from pipeline.records.evaluation import Coverage
from pipeline.records.predictions import Names, Predictions

NEW_GROUPS: Final = "groups that were not used for training or calibration"
HALVED_GROUPS: Final = "calibration groups, split in halves: one calibrates, the other is tested"

_NUM_HALVINGS: Final = 50

_ROUNDING: Final = 1e-9
"""Upper limit of the rounding error in a sum of weights such as 1/3."""


def calibrate(
    y_true: FloatArray,
    y_pred: FloatArray,
    groups: Names,
    *,
    trait_names: Sequence[str],
    level: float = LEVEL,
    clips: str = VALIDATION,
) -> Calibration:
    """Compute the half-width of the prediction intervals of each trait.

    Args:
        y_true: Annotated scores in [0, 1], shape (N, K).
        y_pred: Scores from a model that was not trained on these groups, shape (N, K).
        groups: Group of each clip, N names.
        trait_names: Names of the K columns.
        level: Probability that an interval contains the annotated score, in (0, 1).
        clips: Kind of the calibration clips: validation or out-of-fold.

    Raises:
        ValueError: If the shapes differ, or the level is out of range.
    """
    if not 0 < level < 1:
        raise ValueError(f"expected a level between 0 and 1; found {level}")
    errors = np.abs(np.asarray(y_true, np.float64) - np.asarray(y_pred, np.float64))
    if errors.shape != (len(groups), len(trait_names)):
        raise ValueError(
            f"expected scores of shape ({len(groups)}, {len(trait_names)}) for {len(groups)} "
            f"groups; found {errors.shape}"
        )
    names, codes, sizes = np.unique(
        np.asarray(groups, dtype=np.str_), return_inverse=True, return_counts=True
    )
    weights = 1.0 / sizes[codes]
    # Weights and level are multiplied by G + 1, so each group has weight 1. For example, with
    # level 0.9 and 9 groups, the needed weight is exactly 9, without a rounding error.
    needed = level * (len(names) + 1)
    return Calibration(
        level=level,
        half_widths={
            name: _quantile(column, weights, needed)
            for name, column in zip(trait_names, errors.T, strict=True)
        },
        num_groups=len(names),
        num_clips=len(errors),
        clips=clips,
    )


def _quantile(errors: FloatArray, weights: FloatArray, needed: float) -> float:
    """Return the smallest error with a cumulative weight of at least `needed`, or infinity."""
    order = np.argsort(errors)
    reached = np.cumsum(weights[order])
    index = int(np.searchsorted(reached, needed - _ROUNDING))
    return float(errors[order[index]]) if index < len(errors) else np.inf


def measure_coverage(
    calibration: Calibration, predictions: Predictions, *, num_resamples: int, seed: int
) -> Coverage | None:
    """Measure the share of annotated scores that are inside their prediction intervals.

    Every group has the same weight, because the level refers to a clip from a new group. The clips
    must be from groups that were not used for training or calibration. The confidence interval of
    the coverage is computed from `num_resamples` resamples of the groups.

    Returns:
        The coverage, or None if every interval is [0, 1] and thus contains every score.

    Raises:
        ValueError: If the annotated scores are unknown.
    """
    if not calibration.is_informative:
        return None
    y_true, (low, high) = annotated_scores(predictions), calibration.intervals(predictions.y_pred)
    return _summarize(
        predictions,
        ((low <= y_true) & (y_true <= high)).astype(np.float64),
        high - low,
        level=calibration.level,
        measured_on=NEW_GROUPS,
        num_resamples=num_resamples,
        seed=seed,
    )


def measure_coverage_in_halves(
    predictions: Predictions, *, level: float, num_resamples: int, seed: int
) -> Coverage | None:
    """Estimate the coverage of intervals at a level in (0, 1) from calibration clips only.

    In each of 50 repetitions, the intervals are calibrated on a random half of the groups. The
    coverage is measured on the other half. Intervals from half of the groups are slightly wider
    than intervals from all groups. For the other arguments and the exceptions, see
    `measure_coverage`.

    Returns:
        None if half of the groups are too few for a calibration.
    """
    y_true, y_pred = annotated_scores(predictions), predictions.y_pred
    names, codes = np.unique(np.asarray(predictions.groups), return_inverse=True)
    if len(names) // 2 < min_groups(level):
        return None
    covered, widths, times = np.zeros(y_true.shape), np.zeros(y_true.shape), np.zeros(len(codes))
    numbers = generator(seed, "coverage")
    for _ in range(_NUM_HALVINGS):
        half = numbers.permutation(len(names))[: len(names) // 2]
        is_used = np.isin(codes, half)
        groups = codes.astype(str)[is_used]
        calibration = calibrate(
            y_true[is_used],
            y_pred[is_used],
            groups,
            trait_names=predictions.trait_names,
            level=level,
        )
        low, high = calibration.intervals(y_pred)
        is_tested = ~is_used[:, None]
        covered += is_tested & (low <= y_true) & (y_true <= high)
        widths += is_tested * (high - low)
        times += ~is_used
    # A group that is never tested (probability about 1e-14) would give 0 / 0, so it is omitted.
    tested = times > 0
    return _summarize(
        predictions.take(np.flatnonzero(tested)),
        covered[tested] / times[tested, None],
        widths[tested] / times[tested, None],
        level=level,
        measured_on=HALVED_GROUPS,
        num_resamples=num_resamples,
        seed=seed,
    )


def _summarize(
    predictions: Predictions,
    covered: FloatArray,
    widths: FloatArray,
    *,
    level: float,
    measured_on: str,
    num_resamples: int,
    seed: int,
) -> Coverage:
    trait_names, mean_widths = predictions.trait_names, widths.mean(axis=0)
    return Coverage(
        level=level,
        measured_on=measured_on,
        num_clips=len(predictions.clip_ids),
        num_groups=len(set(predictions.groups)),
        coverage=group_means(
            covered,
            predictions.groups,
            trait_names=trait_names,
            num_resamples=num_resamples,
            seed=seed,
        ),
        mean_width=name_traits(mean_widths, trait_names),
    )


def annotated_scores(predictions: Predictions) -> FloatArray:
    """Return the annotated scores (N, K), or raise a ValueError if they are unknown."""
    if predictions.y_true is None:
        raise ValueError("expected annotated scores; found predictions without y_true")
    return predictions.y_true
