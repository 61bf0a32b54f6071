"""`metrics_history.json` and `lr_logs.json`: losses, metrics and learning rates of a run.

Batch metrics are computed on single batches. Training steps are counted across epochs.

Shapes: E epochs, S logged training steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.core.traits import TRAITS
from pipeline.records.epochs import EpochRecord, TraitScores, flat_names, step_values, total_seconds
from pipeline.records.typed_json import (
    Amounts,
    Numbers,
    Series,
    check_lengths,
    empty,
    no_numbers,
    read_record,
)

HISTORY_FILE: Final = "batch_metrics/metrics_history.json"
LEARNING_RATE_FILE: Final = "lr_tracking/lr_logs.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class EpochSeries:
    """Values of each epoch. A list that is missing in the file becomes empty."""

    epoch_numbers: Numbers
    """Numbers of the epochs, shape (E,)."""
    loss: Series = field(default_factory=empty)
    """Training loss, shape (E,)."""
    val_loss: Series = field(default_factory=empty)
    """Validation loss, shape (E,)."""
    metrics: dict[str, Series] = field(default_factory=dict)
    """Name, e.g. `mae` (mean over traits) or `mae_openness` -> training metric, shape (E,)."""
    val_metrics: dict[str, Series] = field(default_factory=dict)
    """Name -> validation metric, shape (E,)."""

    def __post_init__(self) -> None:
        losses = {"loss": self.loss, "val_loss": self.val_loss}
        for arrays in (losses, self.metrics, self.val_metrics):
            check_lengths(len(self.epoch_numbers), arrays)

    def training(self, name: str) -> FloatArray:
        """Return the training loss or a training metric; empty if `name` is unknown."""
        return self.loss if name == "loss" else self.metrics.get(name, empty())

    def validation(self, name: str) -> FloatArray:
        """Return the validation loss or a validation metric; empty if `name` is unknown."""
        return self.val_loss if name == "loss" else self.val_metrics.get(name, empty())


@dataclass(frozen=True, kw_only=True, eq=False)
class StepSeries:
    """Values of each logged training step."""

    batch_numbers: Numbers = field(default_factory=no_numbers)
    """Numbers of the logged steps, counted from the start of the run, shape (S,)."""
    loss: Series = field(default_factory=empty)
    metrics: dict[str, Series] = field(default_factory=dict)
    """Name -> value of each step, shape (S,)."""
    learning_rate: Series = field(default_factory=empty)

    def __post_init__(self) -> None:
        values = {"loss": self.loss, "learning_rate": self.learning_rate}
        check_lengths(len(self.batch_numbers), {**self.metrics, **values})


@dataclass(frozen=True, kw_only=True, eq=False)
class MetricsHistory:
    """Content of `metrics_history.json`."""

    epoch: EpochSeries
    batch: StepSeries = field(default_factory=StepSeries)


@dataclass(frozen=True, kw_only=True, eq=False)
class LearningRateLogs:
    """Content of `lr_logs.json`."""

    learning_rate: Amounts
    """Learning rate of the last step of each epoch, shape (E,)."""
    epoch: Numbers = field(default_factory=no_numbers)
    """Numbers of the epochs, shape (E,); 1 to E if the list is missing."""
    is_reduction: Series = field(default_factory=empty)
    """1 if the learning rate is lower than in the previous epoch, else 0, shape (E,)."""

    def __post_init__(self) -> None:
        num_epochs = len(self.learning_rate)
        check_lengths(num_epochs, {"epoch": self.epoch, "is_reduction": self.is_reduction})
        if not self.epoch.size:
            object.__setattr__(self, "epoch", np.arange(1, num_epochs + 1))


def read_history(path: Path) -> MetricsHistory:
    """Read `metrics_history.json`.

    Raises:
        PipelineError: If the file is missing or damaged.
    """
    return read_record(MetricsHistory, path)


def read_lr_logs(path: Path) -> LearningRateLogs:
    """Read `lr_logs.json`.

    Raises:
        PipelineError: If the file is missing or damaged.
    """
    return read_record(LearningRateLogs, path)


def history_content(epochs: Sequence[EpochRecord], *, frequency: int = 1) -> dict[str, Any]:
    """Return the content of `metrics_history.json`.

    `epochs` contains all epochs of the run. The content has the batch values of every
    `frequency`-th training step.
    """
    mae = step_values(epochs, "mae", frequency)
    seconds = total_seconds(epochs)
    learning_rates = [epoch.learning_rate for epoch in epochs]
    return {
        "epoch": {
            "loss": [epoch.loss for epoch in epochs],
            "val_loss": [epoch.val_loss for epoch in epochs],
            "metrics": {**_columns([epoch.metrics for epoch in epochs]), "lr": learning_rates},
            "val_metrics": _columns([epoch.val_metrics for epoch in epochs]),
            "learning_rate": learning_rates,
            "epoch_numbers": [epoch.epoch for epoch in epochs],
        },
        "batch": {
            "loss": step_values(epochs, "loss", frequency),
            "metrics": {
                "accuracy": [1.0 - value for value in mae],
                "mae": mae,
                "mse": step_values(epochs, "mse", frequency),
            },
            "learning_rate": step_values(epochs, "learning_rate", frequency),
            "batch_numbers": step_values(epochs, "numbers", frequency),
        },
        "total_training_time_seconds": seconds,
        "total_training_time_formatted": _clock(seconds),
    }


def learning_rate_content(epochs: Sequence[EpochRecord], *, frequency: int = 1) -> dict[str, Any]:
    """Return the content of `lr_logs.json`. `frequency` is not used: values are per epoch."""
    del frequency
    rates = [epoch.learning_rate for epoch in epochs]
    previous = [*rates[:1], *rates[:-1]]
    return {
        "epoch": [epoch.epoch for epoch in epochs],
        "learning_rate": rates,
        "is_reduction": [now < before for now, before in zip(rates, previous, strict=True)],
    }


def _columns(scores: Sequence[TraitScores | None]) -> dict[str, list[float | None]]:
    """Return, for each metric, a list with one value per epoch."""
    rows = [_with_field_names(epoch) if epoch else {} for epoch in scores]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _with_field_names(scores: TraitScores) -> dict[str, float]:
    """Add the names that other tools use: `r_squared` for r2, `mae_O` for `mae_openness`.

    Other tools have initials only for the five OCEAN traits.
    """
    named = flat_names(scores)
    for metric, alias in (("mae", "mae"), ("mse", "mse"), ("r2", "r_squared")):
        traits = dict(scores[metric])
        named[alias] = traits.pop("mean")
        for trait, value in traits.items():
            named[f"{alias}_{trait}"] = value
            if trait in TRAITS:
                named.setdefault(f"{alias}_{trait[0].upper()}", value)
    return named


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest:02d}"
