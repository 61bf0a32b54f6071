"""Content of the `epoch` events in the run log. An event has all measurements of one epoch."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.core.errors import RunError
from pipeline.core.run_log import EPOCH, Event

TraitScores = dict[str, dict[str, float]]
"""Metric name -> trait name or `mean` -> value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecords:
    """Training steps of one epoch. Each list has one value per training step."""

    first_step: int
    """Number of the first step, counted from 1 at the start of the run."""
    loss: list[float]
    mae: list[float]
    mse: list[float]
    learning_rate: list[float]
    seconds: list[float]
    """Time from the first operation of a step to its last weight update."""
    wait_seconds: list[float]
    """Wait before a step, from the end of the previous step or from the start of the epoch."""
    time_ms: list[int]
    """Time at the end of the step, in milliseconds since 1970."""

    @property
    def numbers(self) -> list[int]:
        """Numbers of the steps, counted from 1 at the start of the run."""
        return list(range(self.first_step, self.first_step + len(self.loss)))


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochRecord:
    """Measurements of one epoch."""

    epoch: int
    """Number of the epoch, from 1."""
    loss: float
    metrics: TraitScores
    """Training metrics, measured with active dropout."""
    val_loss: float | None
    val_metrics: TraitScores | None
    learning_rate: float
    """Learning rate of the last step."""
    train_seconds: float
    """Training time, without validation."""
    validation_seconds: float
    steps: StepRecords

    @property
    def last_step(self) -> int:
        """Number of the last step, counted from 1 at the start of the run."""
        return self.steps.first_step + len(self.steps.loss) - 1

    def logs(self) -> dict[str, float]:
        """Return the values under the flat names that Keras uses for callbacks."""
        logs = {"loss": self.loss, **flat_names(self.metrics)}
        if self.val_metrics is not None and self.val_loss is not None:
            validation = {"loss": self.val_loss, **flat_names(self.val_metrics)}
            logs |= {f"val_{name}": value for name, value in validation.items()}
        return {**logs, "learning_rate": self.learning_rate}


def flat_names(scores: TraitScores) -> dict[str, float]:
    """Return metrics under flat names: `mae` for the mean over traits, `mae_openness` and so on."""
    return {
        metric if trait == "mean" else f"{metric}_{trait}": value
        for metric, traits in scores.items()
        for trait, value in traits.items()
    }


def step_values(epochs: Sequence[EpochRecord], name: str, frequency: int) -> list[Any]:
    """Return the values of the field `name` for every `frequency`-th training step of the run."""
    return [
        value
        for epoch in epochs
        for number, value in zip(epoch.steps.numbers, getattr(epoch.steps, name), strict=True)
        if number % frequency == 0
    ]


def total_seconds(epochs: Iterable[EpochRecord]) -> float:
    """Return the total time of all epochs in seconds, including validation."""
    return sum(epoch.train_seconds + epoch.validation_seconds for epoch in epochs)


def to_content(record: EpochRecord) -> dict[str, Any]:
    """Return the content of the run-log event of an epoch."""
    content = {name: getattr(record, name) for name in EpochRecord.__slots__}
    return {**content, "steps": dataclasses.asdict(record.steps)}


def epoch_records(events: Iterable[Event]) -> list[EpochRecord]:
    """Return one record for each `epoch` event in `events`.

    Raises:
        RunError: If an epoch event is damaged.
    """
    return [_from_event(event) for event in events if event.kind == EPOCH]


def _from_event(event: Event) -> EpochRecord:
    try:
        content = event.content
        return EpochRecord(**{**content, "steps": StepRecords(**content["steps"])})
    except (KeyError, TypeError) as error:
        raise RunError(
            f"events.jsonl: the epoch at byte {event.start} is damaged ({error}). Restore the "
            "file from a backup, or start a new run."
        ) from error
