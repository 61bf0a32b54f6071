"""How often prediction intervals hold the annotated score: measured, not assumed.

Intervals promise a level for clips of groups that were not calibrated on. So it is measured on
other groups where there are any; where the calibration clips are all there is, one half of
their groups is calibrated on and the other half looked at, over and over. As the promise is for
a clip of a new group, every group weighs the same, whatever its number of clips.

Shapes: N clips, K = 5 traits.
"""

from typing import Final

import numpy as np

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.core.seeds import generator
from pipeline.core.traits import TRAITS
from pipeline.evaluation.intervals.bootstrap import group_means
from pipeline.evaluation.intervals.conformal import calibrate
from pipeline.records.calibration import Calibration, min_groups
from pipeline.records.evaluation import Coverage
from pipeline.records.predictions import Predictions

NEW_GROUPS: Final = "groups that were neither trained nor calibrated on"
HALVED_GROUPS: Final = "calibration groups, in halves: one calibrated on, the other looked at"

_NUM_HALVINGS: Final = 50


def measure_coverage(
    calibration: Calibration, predictions: Predictions, *, num_resamples: int = 2000, seed: int
) -> Coverage | None:
    """Return how often the intervals hold the scores of clips that are new to them.

    Args:
        calibration: Where the intervals come from.
        predictions: Clips of groups that were neither trained nor calibrated on.
        num_resamples: Resamples of the cluster bootstrap.
        seed: Seed of the experiment.

    Returns:
        None where the intervals are all [0, 1], which hold every score and say nothing.

    Raises:
        ValueError: If the annotated scores are unknown.
    """
    if not calibration.is_informative:
        return None
    low, high = calibration.intervals(predictions.y_pred)
    y_true = _known_truth(predictions)
    return _summarize(
        predictions,
        covered=((low <= y_true) & (y_true <= high)).astype(np.float64),
        widths=high - low,
        level=calibration.level,
        measured_on=NEW_GROUPS,
        num_resamples=num_resamples,
        seed=seed,
    )


def measure_coverage_in_halves(
    predictions: Predictions, *, level: float, num_resamples: int = 2000, seed: int
) -> Coverage | None:
    """Return how often intervals calibrated on one half of the groups hold the other's scores.

    It is an estimate for intervals that are calibrated on all of these groups, and a little
    too wide for them, as each half knows half as many.

    Args:
        predictions: The calibration clips.
        level: Share that the intervals promise, in (0, 1).
        num_resamples: Resamples of the cluster bootstrap.
        seed: Seed of the experiment.

    Returns:
        None where half of the groups is too few to calibrate on.

    Raises:
        ValueError: If the annotated scores are unknown.
    """
    y_true, y_pred = _known_truth(predictions), predictions.y_pred
    names, codes = np.unique(np.asarray(predictions.groups), return_inverse=True)
    if len(names) // 2 < min_groups(level):
        return None
    covered, widths, times = np.zeros(y_true.shape), np.zeros(y_true.shape), np.zeros(len(codes))
    numbers = generator(seed, "coverage")
    for _ in range(_NUM_HALVINGS):
        seen = _draw_half(numbers, len(names))[codes]
        groups = codes.astype(str)[seen]
        half = calibrate(y_true[seen], y_pred[seen], groups, level=level)
        low, high = half.intervals(y_pred)
        unseen = ~seen[:, None]
        covered += unseen & (low <= y_true) & (y_true <= high)
        widths += unseen * (high - low)
        times += ~seen
    # Of twenty groups and fifty halvings one in 10^14 is never looked at; it would be 0 / 0.
    looked_at = times > 0
    return _summarize(
        predictions.take(np.flatnonzero(looked_at)),
        covered=covered[looked_at] / times[looked_at, None],
        widths=widths[looked_at] / times[looked_at, None],
        level=level,
        measured_on=HALVED_GROUPS,
        num_resamples=num_resamples,
        seed=seed,
    )


def _draw_half(numbers: np.random.Generator, num_groups: int) -> BoolArray:
    drawn = np.zeros(num_groups, dtype=np.bool_)
    drawn[numbers.permutation(num_groups)[: num_groups // 2]] = True
    return drawn


def _summarize(
    predictions: Predictions,
    *,
    covered: FloatArray,
    widths: FloatArray,
    level: float,
    measured_on: str,
    num_resamples: int,
    seed: int,
) -> Coverage:
    """Average covered shares and widths, each of shape (N, K), over groups and clips."""
    mean_widths = widths.mean(axis=0)
    return Coverage(
        level=level,
        measured_on=measured_on,
        num_clips=len(predictions.clip_ids),
        num_groups=len(set(predictions.groups)),
        coverage=group_means(covered, predictions.groups, num_resamples=num_resamples, seed=seed),
        mean_width={
            **dict(zip(TRAITS, mean_widths.tolist(), strict=True)),
            "mean": float(mean_widths.mean()),
        },
    )


def _known_truth(predictions: Predictions) -> FloatArray:
    if predictions.y_true is None:
        raise ValueError("coverage needs annotated scores; these predictions have none")
    return predictions.y_true
