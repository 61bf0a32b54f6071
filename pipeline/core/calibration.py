"""How wide the prediction intervals of a model are; read without what it takes to measure it.

`pipeline.evaluation.conformal` says where the widths come from and what they promise.

Shapes: N clips, K = 5 traits, G groups.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import RunError
from pipeline.core.files import read_json, write_json
from pipeline.core.number_format import percent
from pipeline.core.traits import NUM_TRAITS, TRAITS

LEVEL: Final = 0.9
"""Probability with which an interval holds the annotated score."""

VALIDATION: Final = "validation"
"""Calibrated on the validation clips."""

OUT_OF_FOLD: Final = "out-of-fold"
"""Calibrated on clips that were each predicted by the cross-validation fold that held them out.

The model that is kept is not that of any fold, so that the promise holds in approximation only;
as it has seen more clips than theirs, its errors tend to be the smaller ones."""

NO_CLIPS: Final = "none"
"""Nothing was held out that could be calibrated on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """How far from a prediction the annotated score may lie."""

    level: float
    """Probability with which an interval holds the score, in (0, 1)."""

    half_widths: FloatArray
    """Largest error that an interval allows for, shape (K,); infinite where the calibration
    groups are too few to know one."""

    num_groups: int
    """Number of calibration groups G."""

    num_clips: int
    """Number of calibration clips."""

    clips: str
    """Which clips these were: `VALIDATION`, `OUT_OF_FOLD` or `NO_CLIPS`."""

    @property
    def is_informative(self) -> bool:
        """Whether there were groups enough; otherwise every interval is [0, 1]."""
        return bool(np.isfinite(self.half_widths).all())

    @property
    def warning(self) -> str | None:
        """Why the intervals say nothing; None where they do."""
        if self.is_informative:
            return None
        return (
            f"the prediction intervals are all [0, 1]: a level of {percent(self.level)} takes "
            f"{min_groups(self.level)} held-out groups or more to calibrate on, none of them with "
            f"clips in the training, and there were {self.num_groups}. Train with a larger "
            "data.validation_fraction, or on more groups."
        )

    def intervals(self, y_pred: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the lower and the upper ends, each of shape (N, K), for scores (N, K)."""
        y_pred = np.asarray(y_pred, dtype=np.float64)
        low, high = y_pred - self.half_widths, y_pred + self.half_widths
        return np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)

    def to_json(self) -> dict[str, Any]:
        """Return the calibration as JSON values; an infinite width becomes None."""
        return {
            "level": self.level,
            "half_widths": {
                trait: width if math.isfinite(width) else None
                for trait, width in zip(TRAITS, self.half_widths.tolist(), strict=True)
            },
            "num_groups": self.num_groups,
            "num_clips": self.num_clips,
            "clips": self.clips,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Calibration":
        """Return the calibration that `to_json` described."""
        widths = [value["half_widths"][trait] for trait in TRAITS]
        return cls(
            level=float(value["level"]),
            half_widths=np.array([math.inf if width is None else width for width in widths]),
            num_groups=int(value["num_groups"]),
            num_clips=int(value["num_clips"]),
            clips=str(value["clips"]),
        )


def uncalibrated(level: float = LEVEL) -> Calibration:
    """Return what is known without a single calibration clip: that scores are in [0, 1]."""
    return Calibration(
        level=level,
        half_widths=np.full(NUM_TRAITS, np.inf),
        num_groups=0,
        num_clips=0,
        clips=NO_CLIPS,
    )


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration as JSON, atomically."""
    write_json(path, calibration.to_json())


def read_calibration(path: Path) -> Calibration:
    """Read a calibration; without a file, nothing was held out to calibrate on.

    Raises:
        RunError: If the file is not a calibration.
    """
    if not path.exists():
        return uncalibrated()
    value = read_json(path)
    try:
        return Calibration.from_json(value)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{path}: is not a calibration of prediction intervals ({type(error).__name__}: "
            f"{error}). Train the run again, or restore the file."
        ) from error


def min_groups(level: float) -> int:
    """Return how many calibration groups a level takes: the first G with G / (G + 1) >= level."""
    return math.ceil(round(level / (1 - level), 9))
