"""The contents of the three logs that tools of the field read, told from records of epochs.

Batch numbers are global steps, batch values are those of that batch alone, and times were
measured: an epoch's time is its training part, and a batch's runs from its first operation
to its last weight update.
"""

from typing import Any

from pipeline.core.traits import TRAITS
from pipeline.training.records import EpochRecord, TraitScores, flat_names


def performance_log(records: list[EpochRecord], *, frequency: int = 1) -> dict[str, Any]:
    """Return `metrics_history.json`: losses and metrics of every epoch and of every batch.

    Args:
        records: The epochs, from the first on.
        frequency: Every how many steps a step is told.
    """
    mae = _over_steps(records, "mae", frequency)
    seconds = _total_seconds(records)
    return {
        "epoch": {
            "loss": [record.loss for record in records],
            "val_loss": [record.val_loss for record in records],
            "metrics": {
                **_columns([record.metrics for record in records]),
                "lr": [record.learning_rate for record in records],
            },
            "val_metrics": _columns([record.val_metrics for record in records]),
            "learning_rate": [record.learning_rate for record in records],
            "epoch_numbers": [record.epoch for record in records],
        },
        "batch": {
            "loss": _over_steps(records, "loss", frequency),
            "metrics": {
                "accuracy": [1.0 - value for value in mae],
                "mae": mae,
                "mse": _over_steps(records, "mse", frequency),
            },
            "learning_rate": _over_steps(records, "learning_rate", frequency),
            "batch_numbers": _over_steps(records, "numbers", frequency),
        },
        "total_training_time_seconds": seconds,
        "total_training_time_formatted": _clock(seconds),
    }


def time_log(records: list[EpochRecord], *, frequency: int = 1) -> dict[str, Any]:
    """Return `time_logs.json`: measured seconds of every epoch and of every batch.

    Args:
        records: The epochs, from the first on.
        frequency: Every how many steps a step is told.
    """
    return {
        "epoch_times": [record.train_seconds for record in records],
        "validation_times": [record.validation_seconds for record in records],
        "epoch_numbers": [record.epoch for record in records],
        "batch_times": _over_steps(records, "seconds", frequency),
        "batch_wait_times": _over_steps(records, "wait_seconds", frequency),
        "batch_numbers": _over_steps(records, "numbers", frequency),
        "total_training_time": _total_seconds(records),
    }


def learning_rate_log(records: list[EpochRecord], *, frequency: int = 1) -> dict[str, Any]:
    """Return `lr_logs.json`: the learning rate of every epoch, and whether it was cut there.

    Args:
        records: The epochs, from the first on.
        frequency: As the other logs take it; epochs are always told.
    """
    del frequency
    rates = [record.learning_rate for record in records]
    before = [rates[0], *rates[:-1]] if rates else []
    return {
        "epoch": [record.epoch for record in records],
        "learning_rate": rates,
        "is_reduction": [now < past for now, past in zip(rates, before, strict=True)],
    }


def _over_steps(records: list[EpochRecord], name: str, frequency: int) -> list[Any]:
    return [
        value
        for record in records
        for number, value in zip(record.steps.numbers, getattr(record.steps, name), strict=True)
        if number % frequency == 0
    ]


def _total_seconds(records: list[EpochRecord]) -> float:
    return sum(record.train_seconds + record.validation_seconds for record in records)


def _columns(scores: list[TraitScores | None]) -> dict[str, list[float | None]]:
    """Return one list an epoch for every metric, under the names that tools of the field read."""
    rows = [_with_field_names(flat_names(epoch)) if epoch else {} for epoch in scores]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _with_field_names(flat: dict[str, float]) -> dict[str, float]:
    """Add the field's names: `r_squared` for r2, and `mae_O` for `mae_openness`."""
    named = dict(flat)
    for metric, alias in (("mae", "mae"), ("mse", "mse"), ("r2", "r_squared")):
        named[alias] = flat[metric]
        for trait in TRAITS:
            named[f"{alias}_{trait}"] = flat[f"{metric}_{trait}"]
            named[f"{alias}_{trait[0].upper()}"] = flat[f"{metric}_{trait}"]
    return named


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest:02d}"
