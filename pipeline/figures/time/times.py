"""Measured times of a run's epochs and steps, and what is said about them.

Shapes: E epochs, S logged steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline.core.arrays import BoolArray, FloatArray, IntArray
from pipeline.figures.records import TIME_FILE, log_amounts, log_numbers, log_totals, log_values
from pipeline.figures.spec import NothingToDraw

_DWARFING: Final = 2.5
"""How many times the median an epoch may last before an axis is cut below its end."""

_START: Final = 3.0
"""A wait longer than this many median epochs is the start of the run, or of its resumption."""

PART_LABELS: Final[Mapping[str, str]] = {
    "start": "start-up",
    "step": "training steps",
    "input": "waiting for input",
    "wait": "waits between steps",
    "validation": "validation",
    "callbacks": "callbacks",
    "checkpoint": "checkpoints",
    "figures": "figures",
    "logging": "logging",
    "rest": "rest of the epochs",
}
"""What the parts of a run's time are called."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EpochTimes:
    """Seconds that each epoch took."""

    epochs: IntArray
    """Numbers of the epochs, shape (E,)."""
    train: FloatArray
    """Seconds of the training part, shape (E,)."""
    validation: FloatArray
    """Seconds of the validation, shape (E,); 0 without one."""

    @property
    def total(self) -> FloatArray:
        """Seconds of the whole epoch, shape (E,)."""
        return self.train + self.validation

    @property
    def steady(self) -> FloatArray:
        """Seconds of the epochs after the first, which traces the graph; the first if alone."""
        return self.total[1:] if len(self.total) > 1 else self.total

    @property
    def median(self) -> float:
        """Median seconds of a steady epoch."""
        return float(np.median(self.steady))

    @property
    def p95(self) -> float:
        """Seconds that 95 % of the steady epochs stay below."""
        return float(np.percentile(self.steady, 95))

    @property
    def is_outlier(self) -> BoolArray:
        """Whether an epoch lasted so long that the others would be dwarfed, shape (E,)."""
        is_long = self.total > _DWARFING * self.median
        is_rare = self.total > 1.5 * self.p95
        outlier: BoolArray = is_long & is_rare
        return outlier


@dataclass(frozen=True, kw_only=True, eq=False)
class StepTimes:
    """Seconds of each logged step, and of the wait before it."""

    steps: IntArray
    """Global numbers of the steps, shape (S,)."""
    seconds: FloatArray
    """From a step's first operation to its last weight update, shape (S,)."""
    waits: FloatArray
    """From the end of the step before to the step's begin, shape (S,); empty if unknown."""
    is_first_epoch: BoolArray
    """Whether the step belongs to the first epoch, which traces the graph; shape (S,)."""

    @property
    def is_complete(self) -> bool:
        """Whether every step was logged, so that sums over them mean something."""
        return bool(self.steps[-1] == len(self.steps))

    @property
    def steady(self) -> BoolArray:
        """The steps after the first epoch, or all where there is only that one; shape (S,)."""
        steady: BoolArray = ~self.is_first_epoch
        return steady if steady.any() else ~steady


def epoch_times(time_logs: Mapping[str, Any]) -> EpochTimes:
    """Return the seconds of each epoch.

    Args:
        time_logs: Content of `time_logs.json`.

    Raises:
        NothingToDraw: If no epoch has ended.
        PipelineError: If the log is damaged.
    """
    train = log_amounts(time_logs, "epoch_times", TIME_FILE)
    if not train.size:
        raise NothingToDraw("no epoch has ended yet.")
    validation = log_amounts(time_logs, "validation_times", TIME_FILE, len(train))
    return EpochTimes(
        epochs=log_numbers(time_logs, "epoch_numbers", TIME_FILE, len(train)),
        train=train,
        validation=validation if validation.size else np.zeros(len(train)),
    )


def step_times(time_logs: Mapping[str, Any]) -> StepTimes:
    """Return the seconds of each logged step.

    Args:
        time_logs: Content of `time_logs.json`.

    Raises:
        NothingToDraw: If no step was timed.
        PipelineError: If the log is damaged.
    """
    seconds = log_amounts(time_logs, "batch_times", TIME_FILE)
    if not seconds.size:
        raise NothingToDraw("no step was timed.")
    steps = log_numbers(time_logs, "batch_numbers", TIME_FILE, len(seconds))
    num_epochs = len(log_values(time_logs, "epoch_times", TIME_FILE))
    steps_per_epoch = np.ceil(steps[-1] / max(num_epochs, 1))
    return StepTimes(
        steps=steps,
        seconds=seconds,
        waits=log_amounts(time_logs, "batch_wait_times", TIME_FILE, len(seconds)),
        is_first_epoch=steps <= steps_per_epoch,
    )


def time_parts(time_logs: Mapping[str, Any]) -> dict[str, float]:
    """Return where the time of a run went: part -> seconds, longest first.

    What the run measured itself (`breakdown`) is taken as it is. Otherwise the parts are
    those that the times of the epochs and steps tell apart.

    Args:
        time_logs: Content of `time_logs.json`.

    Raises:
        NothingToDraw: If no epoch has ended.
        PipelineError: If the log is damaged.
    """
    breakdown = time_logs.get("breakdown")
    if breakdown:
        parts = log_totals(breakdown, f"{TIME_FILE}: breakdown")
    else:
        parts = _parts_of_epochs(time_logs)
    shown = {name: seconds for name, seconds in parts.items() if seconds > 0}
    return dict(sorted(shown.items(), key=lambda part: -part[1]))


def _parts_of_epochs(time_logs: Mapping[str, Any]) -> dict[str, float]:
    epochs = epoch_times(time_logs)
    train, validation = float(epochs.train.sum()), float(epochs.validation.sum())
    try:
        steps = step_times(time_logs)
    except NothingToDraw:
        return {"training": train, "validation": validation}
    if not steps.is_complete or not steps.waits.size:
        return {"training": train, "validation": validation}
    is_start = steps.waits > _START * epochs.median
    is_start[0] = True
    start, wait = float(steps.waits[is_start].sum()), float(steps.waits[~is_start].sum())
    step = float(steps.seconds.sum())
    rest = max(train - start - step - wait, 0.0)
    parts = {"start": start, "step": step, "wait": wait, "validation": validation, "rest": rest}
    # A rest below a thousandth is the rounding of clocks.
    return {name: seconds for name, seconds in parts.items() if seconds > 1e-3 * train}
