"""`conformal.json`: half-widths of the prediction intervals of a model.

`pipeline.evaluation.intervals.conformal` computes these widths.

Shapes: N clips, K traits, G groups.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import pydantic

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import RunError
from pipeline.core.files import write_json
from pipeline.core.number_format import percent
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


HalfWidth = Annotated[float, pydantic.BeforeValidator(lambda w: math.inf if w is None else w)]
"""Half-width of an interval; infinite (null) if there are too few calibration groups."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """Content of `conformal.json`: half-widths of the prediction intervals."""

    level: float
    """Probability that an interval contains the annotated score, in (0, 1)."""

    half_widths: dict[str, HalfWidth]
    """Trait -> half-width, in the order of the scores."""

    num_groups: int
    """Number of calibration groups G."""

    num_clips: int
    """Number of calibration clips."""

    clips: str
    """Kind of the calibration clips: `VALIDATION`, `OUT_OF_FOLD` or `NO_CLIPS`."""

    @property
    def is_informative(self) -> bool:
        """True if there were enough calibration groups. Otherwise every interval is [0, 1]."""
        return all(map(math.isfinite, self.half_widths.values()))

    @property
    def trait_names(self) -> tuple[str, ...]:
        """Names of the traits, in the order of the scores."""
        return tuple(self.half_widths)

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
        half_widths = np.array(list(self.half_widths.values()))
        low, high = y_pred - half_widths, y_pred + half_widths
        return np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)


def uncalibrated(trait_names: Sequence[str], level: float = LEVEL) -> Calibration:
    """Return a calibration of these traits without clips: every interval is [0, 1]."""
    return Calibration(
        level=level,
        half_widths=dict.fromkeys(trait_names, math.inf),
        num_groups=0,
        num_clips=0,
        clips=NO_CLIPS,
    )


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write `conformal.json` atomically; an infinite width becomes null."""
    write_json(path, dataclasses.asdict(calibration))


def read_calibration(path: Path, trait_names: Sequence[str]) -> Calibration:
    """Read `conformal.json` of a model of these traits.

    If the file is missing, return `uncalibrated(trait_names)`.

    Raises:
        PipelineError: If the file is damaged, or contains other traits.
    """
    if not path.exists():
        return uncalibrated(trait_names)
    calibration = read_record(Calibration, path)
    widths = calibration.half_widths
    if set(widths) != set(trait_names):
        raise RunError(
            f"{path}: half_widths must have one width per trait: {', '.join(trait_names)}; found "
            f"{', '.join(widths)}. Restore the file from the run's artifacts."
        )
    return dataclasses.replace(
        calibration, half_widths={name: widths[name] for name in trait_names}
    )


def min_groups(level: float) -> int:
    """Return the smallest number of calibration groups G with G / (G + 1) >= level."""
    return math.ceil(round(level / (1 - level), 9))
