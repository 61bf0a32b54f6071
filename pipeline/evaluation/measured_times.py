"""The measured times of a run, cut into epochs and steps.

Shapes: E epochs, S steps an epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import RunError

_START: Final = 3.0
"""A wait longer than this many median epochs is the start of a run, or of its resumption."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredTimes:
    """Seconds of the epochs and of the steps of one run."""

    train: FloatArray
    """Seconds of the training part of each epoch, shape (E,)."""
    validation: FloatArray
    """Seconds of the validation of each epoch, shape (E,)."""
    steps: FloatArray
    """Seconds of each step, shape (E, S); (E, 0) where not every step was logged."""
    waits: FloatArray
    """Seconds of the wait before each step, shape (E, S); (E, 0) where unknown."""
    parts: Mapping[str, float]
    """What the run measured of itself (`breakdown`): part -> seconds; empty without it."""

    @property
    def num_epochs(self) -> int:
        """Number of epochs, E."""
        return len(self.train)

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps an epoch, S; 0 where unknown."""
        return int(self.steps.shape[1])

    @property
    def total(self) -> float:
        """Seconds of all epochs, validation included."""
        return float(self.train.sum() + self.validation.sum())

    @property
    def epoch_seconds(self) -> float:
        """Median seconds of an epoch with its validation: after the first, unless it is alone."""
        every = self.train + self.validation
        return float(np.median(every[1:] if len(every) > 1 else every))

    @property
    def start_seconds(self) -> float:
        """Seconds that the first epoch took beyond a median one: start-up and tracing.

        A single epoch has none to compare with; there it is the wait before its first step.
        """
        if self.num_epochs > 1:
            return max(0.0, float(self.train[0] + self.validation[0]) - self.epoch_seconds)
        return float(self.waits[0, 0]) if self.waits.size else 0.0

    @property
    def usual_waits(self) -> FloatArray:
        """The waits without those for a start, of the run or of its resumption; one dimension."""
        waits = self.waits.ravel()[1:]
        return waits[waits <= _START * self.epoch_seconds]


def measured_times(time_logs: Mapping[str, Any]) -> MeasuredTimes:
    """Return the times of a run.

    Args:
        time_logs: Content of `time_logs.json`.

    Raises:
        RunError: If the log is damaged.
    """
    train = _numbers(time_logs, "epoch_times")
    validation = _numbers(time_logs, "validation_times")
    steps = _numbers(time_logs, "batch_times")
    waits = _numbers(time_logs, "batch_wait_times")
    shape = _shape(len(train), _numbers(time_logs, "batch_numbers"), len(steps))
    return MeasuredTimes(
        train=train,
        validation=validation if validation.size == train.size else np.zeros(len(train)),
        steps=steps[: shape[0] * shape[1]].reshape(shape),
        waits=waits.reshape(shape)
        if waits.size == shape[0] * shape[1]
        else np.empty((shape[0], 0)),
        parts=_parts(time_logs.get("breakdown") or {}),
    )


def _shape(num_epochs: int, numbers: FloatArray, num_steps: int) -> tuple[int, int]:
    """Return epochs and steps an epoch; no steps unless every one was logged."""
    is_complete = numbers.size == num_steps > 0 and bool((np.diff(numbers) == 1).all())
    is_whole = num_epochs > 0 and num_steps % num_epochs == 0
    return num_epochs, num_steps // num_epochs if is_complete and is_whole else 0


def _parts(breakdown: Any) -> dict[str, float]:
    if not isinstance(breakdown, Mapping):
        raise RunError(
            f"time_logs.json: 'breakdown' must be a JSON object; found {type(breakdown).__name__}. "
            "Restore the file from the run's artifacts."
        )
    return {
        name: float(np.nansum(_as_array(value, f"breakdown.{name}")))
        for name, value in breakdown.items()
        if value is not None
    }


def _numbers(time_logs: Mapping[str, Any], name: str) -> FloatArray:
    return _as_array(time_logs.get(name) or [], name).reshape(-1)


def _as_array(value: Any, name: str) -> FloatArray:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RunError(
            f"time_logs.json: {name!r} must hold numbers ({error}). "
            "Restore the file from the run's artifacts."
        ) from error
