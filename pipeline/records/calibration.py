"""`conformal.json`: half-widths of the prediction intervals of a model.

`pipeline.evaluation.intervals.conformal` computes these widths.

Shapes: N clips, K = 5 traits, G groups.
"""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import pydantic

from pipeline.core.arrays import FloatArray
from pipeline.core.files import write_json
from pipeline.core.number_format import percent
from pipeline.core.traits import NUM_TRAITS, TRAITS
from pipeline.records.typed_json import read_record

LEVEL: Final = 0.9
"""Probability that an interval contains the annotated score."""

VALIDATION: Final = "validation"
"""The intervals were calibrated on the validation clips."""

OUT_OF_FOLD: Final = "out-of-fold"
"""The intervals were calibrated on the out-of-fold predictions of a cross-validation.

The coverage is approximate, because the fold models and the final model are different models. The
errors of the final model tend to be smaller, because this model was trained on more clips."""

NO_CLIPS: Final = "none"
"""No clips were held out for the calibration."""


def _widths_by_trait(half_widths: Any) -> FloatArray:
    if not isinstance(half_widths, dict) or set(half_widths) != set(TRAITS):
        raise ValueError(f"must have one width per trait: {', '.join(TRAITS)}")
    widths = [half_widths[trait] for trait in TRAITS]
    try:
        return np.array([math.inf if width is None else float(width) for width in widths])
    except (TypeError, ValueError):
        raise ValueError("must be numbers") from None


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """Content of `conformal.json`: half-widths of the prediction intervals."""

    level: float
    """Probability that an interval contains the annotated score, in (0, 1)."""

    half_widths: Annotated[FloatArray, pydantic.PlainValidator(_widths_by_trait)]
    """Half-width for each trait, shape (K,); infinite if there are too few calibration groups."""

    num_groups: int
    """Number of calibration groups G."""

    num_clips: int
    """Number of calibration clips."""

    clips: str
    """Kind of the calibration clips: `VALIDATION`, `OUT_OF_FOLD` or `NO_CLIPS`."""

    @property
    def is_informative(self) -> bool:
        """True if there were enough calibration groups. Otherwise every interval is [0, 1]."""
        return bool(np.isfinite(self.half_widths).all())

    @property
    def warning(self) -> str | None:
        """Reason why the intervals are not informative, or None."""
        if self.is_informative:
            return None
        return (
            f"the prediction intervals are all [0, 1]: a level of {percent(self.level)} needs at "
            f"least {min_groups(self.level)} held-out groups without training clips, but there "
            f"were {self.num_groups}. Train with a larger data.validation_fraction, or on more "
            "groups."
        )

    def intervals(self, y_pred: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return two arrays of shape (N, K): lower and upper ends of the intervals for `y_pred`."""
        y_pred = np.asarray(y_pred, dtype=np.float64)
        low, high = y_pred - self.half_widths, y_pred + self.half_widths
        return np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)


def uncalibrated(level: float = LEVEL) -> Calibration:
    """Return a calibration without clips: every interval is [0, 1]."""
    return Calibration(
        level=level,
        half_widths=np.full(NUM_TRAITS, np.inf),
        num_groups=0,
        num_clips=0,
        clips=NO_CLIPS,
    )


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write `conformal.json` atomically; an infinite width becomes null."""
    widths = dict(zip(TRAITS, calibration.half_widths.tolist(), strict=True))
    write_json(path, dataclasses.asdict(calibration) | {"half_widths": widths})


def read_calibration(path: Path) -> Calibration:
    """Read `conformal.json`. If the file is missing, return `uncalibrated()`.

    Raises:
        PipelineError: If the file is damaged.
    """
    return read_record(Calibration, path) if path.exists() else uncalibrated()


def min_groups(level: float) -> int:
    """Return the smallest number of calibration groups G with G / (G + 1) >= level."""
    return math.ceil(round(level / (1 - level), 9))
