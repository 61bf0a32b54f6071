"""`time_tracking/time_logs.json`: measured times of epochs and of logged training steps.

The time of an epoch excludes validation. The time of a step starts at its first operation and ends
at its last weight update.

Shapes: E epochs, S logged training steps, P training steps per epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.core.files import write_json
from pipeline.records.epochs import EpochRecord, step_values, total_seconds
from pipeline.records.typed_json import (
    Amounts,
    Numbers,
    Totals,
    check_lengths,
    empty,
    no_numbers,
    read_record,
)

TIME_FILE: Final = "time_tracking/time_logs.json"

PART_NAMES: Final[Mapping[str, str]] = {
    "start": "start-up",
    "step": "training steps",
    "input": "waiting for input",
    "wait": "waits between steps",
    "checkpoint": "checkpoints",
    "rest": "rest of the epochs",
}
"""Part of a run -> its name in figures and reports. Other parts are shown with their key."""

_START_EPOCHS: Final = 3.0
"""A wait longer than this number of median epoch times marks a start or resume of the run."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TimeLogs:
    """Content of `time_logs.json`. A list that is missing in the file becomes empty."""

    epoch_times: Amounts
    """Training time of each epoch, shape (E,)."""
    validation_times: Amounts = field(default_factory=empty)
    """Validation time of each epoch, shape (E,); 0 if the list is missing."""
    epoch_numbers: Numbers = field(default_factory=no_numbers)
    """Numbers of the epochs, shape (E,); 1 to E if the list is missing."""
    batch_times: Amounts = field(default_factory=empty)
    """Time of each logged training step, shape (S,)."""
    batch_wait_times: Amounts = field(default_factory=empty)
    """Wait before each logged step, from the end of the previous step, shape (S,)."""
    batch_numbers: Numbers = field(default_factory=no_numbers)
    """Numbers of the logged steps since the start of the run, shape (S,); 1 to S if missing."""
    clips_per_second: Amounts = field(default_factory=empty)
    """Throughput of each epoch, shape (E,)."""
    total_training_time: float | None = None
    """Total time of all epochs in seconds, including validation."""
    breakdown: Totals = field(default_factory=dict)
    """Part of the run -> measured seconds; empty if the parts were not measured."""

    def __post_init__(self) -> None:
        for length, names in (
            (self.num_epochs, ("validation_times", "epoch_numbers", "clips_per_second")),
            (len(self.batch_times), ("batch_wait_times", "batch_numbers")),
        ):
            check_lengths(length, {name: getattr(self, name) for name in names})
        for name, default in (
            ("validation_times", np.zeros(self.num_epochs)),
            ("epoch_numbers", np.arange(1, self.num_epochs + 1)),
            ("batch_numbers", np.arange(1, len(self.batch_times) + 1)),
        ):
            if not getattr(self, name).size:
                object.__setattr__(self, name, default)

    @property
    def num_epochs(self) -> int:
        """Number E of epochs."""
        return len(self.epoch_times)

    @property
    def epoch_seconds(self) -> FloatArray:
        """Seconds of each epoch, including validation, shape (E,)."""
        return self.epoch_times + self.validation_times

    @property
    def total_seconds(self) -> float:
        """Total time of all epochs in seconds, including validation."""
        return float(self.epoch_seconds.sum())

    @property
    def steady_epochs(self) -> FloatArray:
        """Seconds of all epochs but the first, which includes tracing. A single epoch is kept."""
        return self.epoch_seconds[1:] if self.num_epochs > 1 else self.epoch_seconds

    @property
    def median_epoch(self) -> float:
        """Median of the steady epochs, in seconds."""
        return float(np.median(self.steady_epochs))

    @property
    def p95_epoch(self) -> float:
        """95th percentile of the steady epochs, in seconds."""
        return float(np.percentile(self.steady_epochs, 95))

    @property
    def start_seconds(self) -> float:
        """Seconds of start-up and tracing: the first epoch minus the median epoch.

        If there is only one epoch, the value is the wait before its first step.
        """
        if self.num_epochs > 1:
            return max(0.0, float(self.epoch_seconds[0]) - self.median_epoch)
        return float(self.waits_by_epoch[0, 0]) if self.waits_by_epoch.size else 0.0

    @property
    def steps_per_epoch(self) -> int:
        """Number P of steps per epoch; 0 if a step was not logged."""
        is_whole = self.num_epochs > 0 and len(self.batch_times) % self.num_epochs == 0
        return len(self.batch_times) // self.num_epochs if is_whole and self.has_all_steps else 0

    @property
    def has_all_steps(self) -> bool:
        """True if every step was logged."""
        return bool(self.batch_times.size and self.batch_numbers[-1] == len(self.batch_numbers))

    @property
    def steps_by_epoch(self) -> FloatArray:
        """Seconds of each step, shape (E, P); (E, 0) if a step was not logged."""
        return self._by_epoch(self.batch_times)

    @property
    def waits_by_epoch(self) -> FloatArray:
        """Wait before each step in seconds, shape (E, P); (E, 0) if a step was not logged."""
        return self._by_epoch(self.batch_wait_times)

    @property
    def usual_waits(self) -> FloatArray:
        """Seconds between steps, except at a start or resume; empty if a step was not logged."""
        return self.batch_wait_times[~self.is_start] if self.waits_by_epoch.size else empty()

    @property
    def is_start(self) -> BoolArray:
        """True for the first step after each start or resume of the run, shape (S,)."""
        is_start: BoolArray = self.batch_wait_times > _START_EPOCHS * self.median_epoch
        is_start[:1] = True
        return is_start

    @property
    def is_first_epoch(self) -> BoolArray:
        """True for steps of the first epoch, in which the graph is traced, shape (S,)."""
        steps_per_epoch = np.ceil(self.batch_numbers[-1:] / max(self.num_epochs, 1))
        is_first: BoolArray = self.batch_numbers <= steps_per_epoch
        return is_first

    @property
    def is_steady_step(self) -> BoolArray:
        """True for steps after the first epoch, or for all steps of a single epoch, shape (S,)."""
        steady: BoolArray = ~self.is_first_epoch
        return steady if steady.any() else ~steady

    def parts(self) -> dict[str, float]:
        """Return the seconds of each part of the run, in descending order.

        If `breakdown` is empty, the parts are computed from epoch and step times.
        """
        parts = self.breakdown or self._parts_of_epochs()
        shown = {name: seconds for name, seconds in parts.items() if seconds > 0}
        return dict(sorted(shown.items(), key=lambda part: -part[1]))

    def to_json(self) -> dict[str, Any]:
        """Return the content of the file. Optional keys without values are left out."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        optional = ("clips_per_second", "breakdown")
        return {k: v for k, v in content.items() if k not in optional or len(v)}

    def _by_epoch(self, values: FloatArray) -> FloatArray:
        num_steps = self.steps_per_epoch if values.size else 0
        return values[: self.num_epochs * num_steps].reshape(self.num_epochs, num_steps)

    def _parts_of_epochs(self) -> dict[str, float]:
        train, validation = float(self.epoch_times.sum()), float(self.validation_times.sum())
        if not self.has_all_steps or not self.batch_wait_times.size:
            return {"training": train, "validation": validation}
        start = float(self.batch_wait_times[self.is_start].sum())
        wait = float(self.batch_wait_times[~self.is_start].sum())
        step = float(self.batch_times.sum())
        rest = max(train - start - step - wait, 0.0)
        parts = {"start": start, "step": step, "wait": wait, "validation": validation, "rest": rest}
        # Parts below 0.1 % of the training time are smaller than the error of the clock.
        return {name: seconds for name, seconds in parts.items() if seconds > 1e-3 * train}


def read_time_logs(path: Path) -> TimeLogs:
    """Read `time_logs.json`.

    Raises:
        PipelineError: If the file is missing or damaged.
    """
    return read_record(TimeLogs, path)


def write_time_logs(path: Path, time_logs: TimeLogs) -> None:
    """Write `time_logs.json` atomically."""
    write_json(path, time_logs.to_json())


def time_content(epochs: Sequence[EpochRecord], *, frequency: int = 1) -> dict[str, Any]:
    """Return the content of `time_logs.json`.

    `epochs` contains all epochs of the run. The content has the times of every
    `frequency`-th training step.
    """
    return {
        "epoch_times": [epoch.train_seconds for epoch in epochs],
        "validation_times": [epoch.validation_seconds for epoch in epochs],
        "epoch_numbers": [epoch.epoch for epoch in epochs],
        "batch_times": step_values(epochs, "seconds", frequency),
        "batch_wait_times": step_values(epochs, "wait_seconds", frequency),
        "batch_numbers": step_values(epochs, "numbers", frequency),
        "total_training_time": total_seconds(epochs),
    }
