"""Prediction intervals from the errors on held-out groups: hierarchical split conformal prediction.

Clips of one video or person share much of their error, so they are no exchangeable draws; whole
groups nearly are. Each of the G calibration groups therefore weighs 1 / (G + 1) however many
clips it has, shared equally by its clips, and the group of the new clip weighs 1 / (G + 1) too,
at an infinite error. The interval of a trait is the prediction plus and minus the smallest
error below which the level of that weight lies. It covers the annotated score of a clip of a
new group with at least that probability, whatever the distribution and the model, if

- the new group is exchangeable with the calibration groups: of the same population, and described
  by the same encoder; and
- the model has not seen the calibration groups. The epoch with the best metric is chosen on
  them, one choice among the epochs of one training, which makes their errors a little too small.
  What that costs is measured on other groups: see `pipeline.evaluation.intervals.coverage`.

The probability is over groups and for each trait by itself: not for all five at once, nor for
each kind of clip. An interval has the same width for every clip, but for its ends: they stay in
[0, 1], where all annotated scores are, which loses no coverage.

Shapes: N clips, K = 5 traits, G groups.

Reference: Lee, Barber & Willett, 2023, Distribution-free inference with hierarchical data
    (arXiv:2306.06342), hierarchical conformal prediction with the score |y - f(x)|; Dunn,
    Wasserman & Ramdas, 2022 (arXiv:1809.07441), which draws one clip a group instead: this is
    the quantile of all such draws together, without the randomness.
"""

from typing import Final

import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.core.traits import NUM_TRAITS
from pipeline.records.calibration import LEVEL, VALIDATION, Calibration
from pipeline.records.predictions import Names


def calibrate(
    y_true: FloatArray,
    y_pred: FloatArray,
    groups: Names,
    *,
    level: float = LEVEL,
    clips: str = VALIDATION,
) -> Calibration:
    """Return the widths with which a score of a new group is covered at `level`.

    Args:
        y_true: Annotated scores in [0, 1], shape (N, 5), in OCEAN order.
        y_pred: Scores predicted by a model that has not seen these groups, shape (N, 5).
        groups: Group of each clip, N names.
        level: Probability with which an interval is to hold the score, in (0, 1).
        clips: Which clips these are.

    Raises:
        ValueError: If the shapes differ, or the level is out of range.
    """
    if not 0 < level < 1:
        raise ValueError(f"expected a level between 0 and 1; found {level}")
    errors = np.abs(np.asarray(y_true, np.float64) - np.asarray(y_pred, np.float64))
    if errors.shape != (len(groups), NUM_TRAITS):
        raise ValueError(
            f"{len(groups)} groups need as many rows of {NUM_TRAITS} scores; found {errors.shape}"
        )
    names, codes, sizes = np.unique(
        np.asarray(groups, dtype=np.str_), return_inverse=True, return_counts=True
    )
    weights = 1.0 / sizes[codes]
    # Compared as a number of groups, not as a share: 9 of 10 groups are 90 % exactly.
    needed = level * (len(names) + 1)
    return Calibration(
        level=level,
        half_widths=np.array([_quantile(column, weights, needed) for column in errors.T]),
        num_groups=len(names),
        num_clips=len(errors),
        clips=clips,
    )


def _quantile(errors: FloatArray, weights: FloatArray, needed: float) -> float:
    """Return the smallest error up to which the weights add up to `needed`; infinite if none."""
    order = np.argsort(errors)
    reached = np.cumsum(weights[order])
    index = int(np.searchsorted(reached, needed - _ROUNDING))
    return float(errors[order[index]]) if index < len(errors) else np.inf


_ROUNDING: Final = 1e-9
"""Sums of shares such as 1/3 miss a whole number of groups by less than this."""
