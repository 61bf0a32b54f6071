"""What one epoch leaves behind, and its form in the journal."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.core.errors import RunError
from pipeline.core.journal import EPOCH, Event

TraitScores = dict[str, dict[str, float]]
"""Metric name -> trait name or `mean` -> value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecords:
    """The steps of one epoch, one list entry a step."""

    first_step: int
    """Global number of the first step, from 1."""
    loss: list[float]
    mae: list[float]
    mse: list[float]
    learning_rate: list[float]
    seconds: list[float]
    """From the step's begin, batch at hand, to its last weight update."""
    wait_seconds: list[float]
    """From the end of the step before (or of the epoch's begin) to this step's begin."""
    time_ms: list[int]
    """When the step ended, in milliseconds since 1970."""

    @property
    def numbers(self) -> list[int]:
        """Global step numbers."""
        return list(range(self.first_step, self.first_step + len(self.loss)))


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochRecord:
    """One epoch, measured."""

    epoch: int
    """Number of the epoch, from 1."""
    loss: float
    metrics: TraitScores
    """Over the training clips as they were seen, dropout active."""
    val_loss: float | None
    val_metrics: TraitScores | None
    learning_rate: float
    """Learning rate of the epoch's last step."""
    train_seconds: float
    """The training part alone, without validation."""
    validation_seconds: float
    steps: StepRecords

    @property
    def last_step(self) -> int:
        """Global number of the epoch's last step."""
        return self.steps.first_step + len(self.steps.loss) - 1

    def logs(self) -> dict[str, float]:
        """Return the flat names that Keras callbacks and histories use."""
        logs = {"loss": self.loss, **flat_names(self.metrics)}
        if self.val_metrics is not None and self.val_loss is not None:
            validation = {"loss": self.val_loss, **flat_names(self.val_metrics)}
            logs |= {f"val_{name}": value for name, value in validation.items()}
        return {**logs, "learning_rate": self.learning_rate}


def flat_names(scores: TraitScores) -> dict[str, float]:
    """Return `{"mae": mean over traits, "mae_openness": ..., ...}`."""
    return {
        metric if trait == "mean" else f"{metric}_{trait}": value
        for metric, traits in scores.items()
        for trait, value in traits.items()
    }


def to_content(record: EpochRecord) -> dict[str, Any]:
    """Return the content of the journal's event for an epoch."""
    steps = {name: getattr(record.steps, name) for name in StepRecords.__slots__}
    return {
        name: steps if name == "steps" else getattr(record, name) for name in EpochRecord.__slots__
    }


def epoch_records(events: Iterable[Event]) -> list[EpochRecord]:
    """Return the epochs that journal events tell of.

    Raises:
        RunError: If an event does not have the form of an epoch.
    """
    return [_from_event(event) for event in events if event.kind == EPOCH]


def _from_event(event: Event) -> EpochRecord:
    try:
        content = event.content
        return EpochRecord(**{**content, "steps": StepRecords(**content["steps"])})
    except (KeyError, TypeError) as error:
        raise RunError(
            f"the run log: the epoch at byte {event.start} is damaged ({error}). Restore the "
            "file from a backup, or start a new run."
        ) from error
