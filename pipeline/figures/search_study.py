"""A search as its figures see it: objectives, parameters and trials out of `study.json`.

A null among the values (one that was not finite) becomes NaN.

Shapes: N trials.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json
from pipeline.figures.search_parameter import Parameter, finite, read_parameter
from pipeline.figures.spec import NothingToDraw
from pipeline.figures.wording import METRIC_LABELS, METRIC_NAMES, count

STATES: Final[Mapping[str, str]] = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}
"""States of a trial in the file, and how they are called."""

LOST: Final = "lost"
"""State of a failed trial whose parameters another trial tries again: its worker died."""

DAMAGE: Final = (AttributeError, LookupError, OverflowError, TypeError, ValueError)
"""What reading a record raises that holds something else than it should."""

_COSTS: Final[Mapping[str, tuple[str, str]]] = {
    "parameters": ("number of weights", "weights"),
    "weights": ("number of weights", "weights"),
    "latency": ("latency (s)", "latency"),
    "latency_ms": ("latency (ms a clip)", "latency in ms"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """One quantity that is searched for."""

    name: str
    """A metric, or a cost: the number of weights, the latency."""
    is_maximised: bool
    """Whether larger values are the better ones."""

    @property
    def label(self) -> str:
        """Label of an axis that shows it."""
        return _COSTS[self.name][0] if self.name in _COSTS else f"validation {self._metric_label}"

    @property
    def short(self) -> str:
        """Name within a sentence."""
        if self.name in _COSTS:
            return _COSTS[self.name][1]
        return METRIC_NAMES.get(self.name, self.name)

    @property
    def better(self) -> str:
        """Which values are the better ones, in words."""
        return "higher is better" if self.is_maximised else "lower is better"

    @property
    def _metric_label(self) -> str:
        label = METRIC_LABELS.get(self.name, self.name)
        begins_with_a_word = self.name in {"accuracy", "ccc"}  # the others with a name or a sign
        return label[0].lower() + label[1:] if begins_with_a_word else label


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trial:
    """One configuration that was tried."""

    number: int
    state: str
    """complete, pruned, failed, lost, running or waiting."""
    values: tuple[float, ...]
    """Value of each objective; NaN for each unless the trial is complete."""
    settings: Mapping[str, Any]
    """Value of each parameter; one that did not apply is missing."""
    curve: Mapping[int, float]
    """Reported epoch -> first objective, in the order of the epochs."""
    started: float | None
    """Seconds since 1970; None for a trial that has not begun."""
    seconds: float | None
    """How long it took; None for one that has not ended."""
    is_default: bool
    """Whether this is the configuration as it was given."""
    worker: str
    """Who ran it; empty where that is not known."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Study:
    """A search and its trials, in the order of their numbers."""

    name: str
    objectives: tuple[Objective, ...]
    """One or two."""
    parameters: tuple[Parameter, ...]
    """What is searched, in the order of the space."""
    trials: tuple[Trial, ...]
    importances: Mapping[str, Mapping[str, float]]
    """Measure -> parameter -> share in [0, 1]; empty where none was computed."""
    importances_note: str
    """Why there are none."""
    best_number: int | None
    """Number of the trial that is best in the first objective."""
    pareto: tuple[int, ...]
    """Numbers of the trials that no other beats in every objective."""

    @property
    def complete(self) -> tuple[Trial, ...]:
        """The trials that ran to their end, with finite values."""
        return tuple(trial for trial in self.trials if trial.state == "complete")

    @property
    def default(self) -> Trial | None:
        """The complete trial of the configuration as it was given; None without one."""
        return next((trial for trial in self.complete if trial.is_default), None)

    @property
    def best(self) -> Trial | None:
        """The trial that is best in the first objective."""
        return next((trial for trial in self.trials if trial.number == self.best_number), None)

    @property
    def ranked_parameters(self) -> tuple[Parameter, ...]:
        """The parameters, the most important first; those not measured last, in their order."""
        return tuple(sorted(self.parameters, key=lambda each: -self.importance(each.name)))

    def importance(self, name: str) -> float:
        """Return the mean share of a parameter over the measures; -1 where it was not measured."""
        shares = [shares[name] for shares in self.importances.values() if name in shares]
        return sum(shares) / len(shares) if shares else -1.0

    def states_in_words(self) -> str:
        """Return how many trials are in which state, e.g. `12 complete, 3 pruned`."""
        counts = Counter(trial.state for trial in self.trials)
        return ", ".join(
            f"{counts[state]} {state}" for state in (*STATES.values(), LOST) if counts[state]
        )

    def require_complete(self, fewest: int = 1) -> tuple[Trial, ...]:
        """Return the complete trials.

        Raises:
            NothingToDraw: If there are fewer than `fewest`.
        """
        if len(self.complete) < fewest:
            found = self.states_in_words() or "no trial at all"
            raise NothingToDraw(f"needs {count(fewest, 'complete trial')}; found {found}.")
        return self.complete


def read_study(path: Path) -> Study:
    """Read the `study.json` of a search.

    Raises:
        PipelineError: If the file is missing or does not describe a search.
    """
    try:
        return parse_study(read_json(path))
    except DAMAGE as error:
        raise PipelineError(
            f"{path}: is not the record of a search ({type(error).__name__}: {error}). "
            "Run the search again with the same --run_dir: it writes the file from its storage."
        ) from error


def parse_study(content: Mapping[str, Any]) -> Study:
    """Return the study that the content of a `study.json` describes.

    Raises:
        Exception: One of `DAMAGE`, if it describes none.
    """
    trials = sorted(content["trials"], key=lambda trial: int(trial["number"]))
    lost = {trial["retry_of"] for trial in trials} - {None}
    objectives = tuple(_objective(each) for each in content["objectives"])
    if not 1 <= len(objectives) <= 2:
        raise ValueError(f"expected one or two objectives; found {len(objectives)}")
    best = content["best"]
    return Study(
        name=str(content["study"]),
        objectives=objectives,
        parameters=tuple(
            read_parameter(each, [trial["overrides"] for trial in trials])
            for each in content["parameters"]
        ),
        trials=tuple(_trial(trial, lost, len(objectives)) for trial in trials),
        importances={
            str(measure): {
                str(name): finite(share) for name, share in shares.items() if share is not None
            }
            for measure, shares in (content["importances"] or {}).items()
        },
        importances_note=str(content["importances_note"] or ""),
        best_number=None if best is None else int(best["number"]),
        pareto=tuple(int(number) for number in content["pareto"]),
    )


def objective_values(trials: Sequence[Trial], objective: int = 0) -> FloatArray:
    """Return the values of an objective, shape (N,); NaN for a trial without one."""
    return np.array([trial.values[objective] for trial in trials], dtype=np.float64)


def _objective(record: Mapping[str, Any]) -> Objective:
    direction = record["direction"]
    if direction not in {"minimize", "maximize"}:
        raise ValueError(f"direction must be minimize or maximize; found {direction!r}")
    return Objective(name=str(record["name"]), is_maximised=direction == "maximize")


def _trial(record: Mapping[str, Any], lost: set[Any], num_objectives: int) -> Trial:
    number, state = int(record["number"]), STATES[record["state"]]
    given = record["values"] or [None] * num_objectives
    if len(given) != num_objectives:
        raise ValueError(f"trial {number}: expected {num_objectives} values; found {len(given)}")
    values = tuple(_finite_or_nan(value) for value in given)
    if state == "complete" and not np.isfinite(values).all():
        state = "failed"  # it ran to its end, with nothing to show for it
    steps = sorted((int(step), value) for step, value in record["intermediate"].items())
    started, seconds = record["started_ms"], record["seconds"]
    return Trial(
        number=number,
        state=LOST if state == "failed" and number in lost else state,
        values=values,
        settings={str(name): value for name, value in record["overrides"].items()},
        curve={step: _finite_or_nan(value) for step, value in steps},
        started=None if started is None else finite(started) / 1000,
        seconds=None if seconds is None else finite(seconds),
        is_default=bool(record["is_default"]),
        worker=str(record["worker"] or ""),
    )


def _finite_or_nan(value: Any) -> float:
    number = float("nan") if value is None else float(value)
    return number if np.isfinite(number) else float("nan")
