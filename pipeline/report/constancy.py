"""How much annotations and predictions vary, worked out from the metrics of a trait.

With the variances t² of the truth and p² of the predictions, their covariance c and the
mean squared error m, all population moments: R² = 1 - m/t², CCC = 2c / (m + 2c) and
PCC = c/(t p). So t = sqrt(m / (1 - R²)), c = CCC m / (2 (1 - CCC)) and p/t = c / (t² PCC).
"""

import math
from dataclasses import dataclass
from typing import Final

from pipeline.report.records import Scores

MIN_LABEL_SD: Final = 0.02
"""Standard deviation below which annotated scores count as nearly constant.

A fiftieth of the scale; annotated First Impressions clips vary by about 0.14.
"""

MIN_RATIO: Final = 0.1
"""Share of the annotations' spread below which predictions count as nearly constant."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """How much one trait varies over the clips."""

    label_sd: float | None
    """Population standard deviation of the annotated scores; None where it is not known."""
    ratio: float | None
    """Standard deviation of the predictions over that of the annotations."""


def spread_of(scores: Scores, trait: str) -> Spread:
    """Return the spread of a trait, from its metrics on the same clips.

    Metrics report a correlation of exactly 0 where a column is constant, and an R² of
    exactly 0 or 1 where the annotations are.
    """
    r2, mse = scores["r2"][trait].value, scores["mse"][trait].value
    pcc, ccc = scores["pcc"][trait].value, scores["ccc"][trait].value
    if pcc == 0 and r2 in (0, 1):
        return Spread(label_sd=0.0, ratio=None)
    if r2 >= 1 or ccc >= 1:  # a perfect fit: no error is left to measure the spread by
        return Spread(label_sd=None, ratio=1.0)
    variance = mse / (1 - r2)
    if pcc == 0 or variance == 0:
        return Spread(label_sd=math.sqrt(variance), ratio=0.0)
    covariance = ccc * mse / (2 * (1 - ccc))
    return Spread(label_sd=math.sqrt(variance), ratio=covariance / (variance * pcc))
