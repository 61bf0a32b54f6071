"""Reads series out of the logs of a run, as arrays that belong together.

A null in a log (a value that was not finite, or not measured) becomes NaN.

Shapes: E epochs, S logged steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.errors import PipelineError
from pipeline.core.number_format import metric_value
from pipeline.figures.spec import NothingToDraw
from pipeline.metrics.regression import HIGHER_IS_BETTER

HISTORY_FILE: Final = "batch_metrics/metrics_history.json"
TIME_FILE: Final = "time_tracking/time_logs.json"

_ALIASES: Final[Mapping[str, str]] = {"r2": "r_squared"}
"""Names under which other tools write a metric."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """One quantity over the epochs, on the training clips and on the held-out ones."""

    metric: str
    """Name of the quantity: `loss` or a metric."""
    epochs: IntArray
    """Numbers of the epochs, shape (E,)."""
    train: FloatArray | None
    """Training values as the clips were seen, dropout active, shape (E,)."""
    validation: FloatArray | None
    """Values on the validation clips, shape (E,); None for a run without validation."""

    @property
    def decisive(self) -> FloatArray:
        """The validation values, or the training values where there is no validation."""
        if self.validation is not None:
            return self.validation
        return np.full(self.epochs.shape, np.nan) if self.train is None else self.train

    @property
    def side(self) -> str:
        """Name of the decisive side."""
        return "training" if self.validation is None else "validation"

    @property
    def best(self) -> int | None:
        """Position of the best decisive value; None where no value is finite."""
        if not np.isfinite(self.decisive).any():
            return None
        choose = np.nanargmax if is_better_higher(self.metric) else np.nanargmin
        return int(choose(self.decisive))

    @property
    def is_flat(self) -> bool:
        """Whether several epochs have one and the same decisive value: there is no best one."""
        return len(self.epochs) > 1 and bool((self.decisive == self.decisive[0]).all())

    @property
    def best_epoch(self) -> int | None:
        """Number of the epoch with the best decisive value."""
        return None if self.best is None else int(self.epochs[self.best])

    @property
    def best_text(self) -> str:
        """The best decisive value as text."""
        return metric_value(self.metric, self.best_value)

    @property
    def best_value(self) -> float:
        """The best decisive value; NaN where no value is finite."""
        return float("nan") if self.best is None else float(self.decisive[self.best])


def is_better_higher(metric: str) -> bool:
    """Return whether larger values of a metric are the better ones; of the loss they are not."""
    return HIGHER_IS_BETTER.get(metric, False)


def epoch_numbers(history: Mapping[str, Any]) -> IntArray:
    """Return the numbers of the epochs that have ended, shape (E,).

    Raises:
        NothingToDraw: If none has.
        PipelineError: If the history is damaged.
    """
    numbers = _list(_mapping(history, "epoch", HISTORY_FILE), "epoch_numbers", HISTORY_FILE)
    if not numbers:
        raise NothingToDraw("no epoch has ended yet.")
    return _counting(_array(numbers, "epoch.epoch_numbers", HISTORY_FILE), HISTORY_FILE)


def read_curve(history: Mapping[str, Any], metric: str, trait: str | None = None) -> Curve:
    """Return a metric over the epochs: of one trait, or else its mean over the traits.

    Args:
        history: Content of `metrics_history.json`.
        metric: `loss` or a metric.
        trait: Name of a trait; the loss has none.

    Raises:
        NothingToDraw: If no epoch has ended, or the history has no such metric.
        PipelineError: If the history is damaged.
    """
    epochs = epoch_numbers(history)
    train = _epoch_values(history, metric, trait, len(epochs), prefix="")
    validation = _epoch_values(history, metric, trait, len(epochs), prefix="val_")
    if train is None and validation is None:
        name = metric if trait is None else f"{metric} of {trait}"
        raise NothingToDraw(f"the history holds no {name}.")
    return Curve(metric=metric, epochs=epochs, train=train, validation=validation)


def batch_values(history: Mapping[str, Any], metric: str) -> FloatArray | None:
    """Return the loss or a metric of every logged step, shape (S,); None where there is none.

    Raises:
        PipelineError: If the history is damaged.
    """
    batch = _mapping(history, "batch", HISTORY_FILE)
    is_metric = metric not in {"loss", "learning_rate"}
    by_name = _checked(batch.get("metrics") or {}, f"{HISTORY_FILE}: 'batch.metrics'")
    values = (by_name if is_metric else batch).get(metric)
    if not values:
        return None
    return _sized(values, f"batch.{metric}", len(batch_numbers(history)), HISTORY_FILE)


def batch_numbers(history: Mapping[str, Any]) -> IntArray:
    """Return the global numbers of the logged steps, shape (S,), from 1.

    Raises:
        NothingToDraw: If no step was logged.
        PipelineError: If the history is damaged.
    """
    numbers = _list(_mapping(history, "batch", HISTORY_FILE), "batch_numbers", HISTORY_FILE)
    if not numbers:
        raise NothingToDraw("no step was logged.")
    return _counting(_array(numbers, "batch.batch_numbers", HISTORY_FILE), HISTORY_FILE)


def log_values(log: Mapping[str, Any], name: str, file: str, size: int | None = None) -> FloatArray:
    """Return a list of a flat log as an array; empty where the log does not have it.

    Args:
        log: Content of the log.
        name: Key of the list.
        file: Name of the log's file, for messages.
        size: Values that there must be, unless there are none.

    Raises:
        PipelineError: If the list is damaged.
    """
    values = _checked(log, file).get(name) or []
    array = _array(values, name, file)
    return _sized(values, name, array.size if size is None or not array.size else size, file)


def log_numbers(log: Mapping[str, Any], name: str, file: str, size: int) -> IntArray:
    """Return the numbers of epochs or steps in a flat log; 1, 2, ... where it has none.

    Args:
        log: Content of the log.
        name: Key of the list.
        file: Name of the log's file, for messages.
        size: Numbers that there must be.

    Raises:
        PipelineError: If the list is damaged.
    """
    numbers = log_values(log, name, file, size)
    return _counting(numbers, file) if numbers.size else np.arange(1, size + 1)


def log_amounts(
    log: Mapping[str, Any], name: str, file: str, size: int | None = None
) -> FloatArray:
    """Return times or rates in a flat log; empty where the log does not have them.

    Args:
        log: Content of the log.
        name: Key of the list.
        file: Name of the log's file, for messages.
        size: Values that there must be, unless there are none.

    Raises:
        PipelineError: If the list is damaged, or a value is negative or not finite.
    """
    amounts = log_values(log, name, file, size)
    if not (amounts >= 0).all():
        raise PipelineError(
            f"{file}: {name!r} must hold values of zero or more; found "
            f"{amounts[~(amounts >= 0)][0]}. Restore the file from the run's artifacts."
        )
    return amounts


def log_totals(log: Mapping[str, Any], file: str) -> dict[str, float]:
    """Return each number of a flat log, or the sum of its list of numbers; nulls count as 0.

    Raises:
        PipelineError: If there is something else.
    """
    return {
        name: float(np.nansum(_array(value, name, file)))
        for name, value in _checked(log, file).items()
    }


def _epoch_values(
    history: Mapping[str, Any], metric: str, trait: str | None, num_epochs: int, *, prefix: str
) -> FloatArray | None:
    epoch = _mapping(history, "epoch", HISTORY_FILE)
    if metric == "loss":
        values = epoch.get(f"{prefix}loss")
    else:
        by_name = _checked(
            epoch.get(f"{prefix}metrics") or {}, f"{HISTORY_FILE}: '{prefix}metrics'"
        )
        names = (metric, _ALIASES.get(metric, metric))
        suffix = "" if trait is None else f"_{trait}"
        values = next((by_name[n + suffix] for n in names if n + suffix in by_name), None)
    if not values:
        return None
    array = _sized(values, f"epoch.{prefix}{metric}", num_epochs, HISTORY_FILE)
    return array if np.isfinite(array).any() else None


def _mapping(record: Any, name: str, file: str) -> Mapping[str, Any]:
    return _checked(_checked(record, file).get(name), f"{file}: {name!r}")


def _checked(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise PipelineError(
            f"{where} must be a JSON object; found {type(value).__name__}. "
            "Restore the file from the run's artifacts."
        )
    return value


def _list(record: Mapping[str, Any], name: str, file: str) -> list[Any]:
    values = record.get(name)
    if not isinstance(values, list):
        raise PipelineError(
            f"{file}: {name!r} must be a list; found {type(values).__name__}. "
            "Restore the file from the run's artifacts."
        )
    return values


def _sized(values: Any, name: str, size: int, file: str) -> FloatArray:
    array = _array(values, name, file)
    if array.shape != (size,):
        raise PipelineError(
            f"{file}: {name!r} must hold {size} values, one each; found {array.size}. "
            "Restore the file from the run's artifacts."
        )
    return array


def _counting(numbers: FloatArray, file: str) -> IntArray:
    """Return numbers that count epochs or steps, as integers."""
    if numbers.ndim != 1 or not (numbers >= 1).all() or not (np.diff(numbers) > 0).all():
        raise PipelineError(
            f"{file}: the numbers of epochs and steps must rise from 1; found "
            f"{numbers.ravel()[:3].tolist()}. Restore the file from the run's artifacts."
        )
    return numbers.astype(np.int64)


def _array(values: Any, name: str, file: str) -> FloatArray:
    try:
        array = np.asarray(values, dtype=np.float64)
        return np.where(np.isfinite(array), array, np.nan)
    except (TypeError, ValueError) as error:
        raise PipelineError(
            f"{file}: {name!r} must be a list of numbers ({error}). "
            "Restore the file from the run's artifacts."
        ) from error
