"""Read `study.json`: rebuild the study in memory, without the storage of the search."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json
from pipeline.core.number_format import METRIC_NAMES
from pipeline.search.space.parameter import label
from pipeline.search.study.study_status import best_trial

_MEASURE: Final = "ped_anova"
"""Importance measure that is shown: the default of Optuna and of optuna-dashboard."""

_COSTS: Final[Mapping[str, str]] = {
    "weights": "number of weights",
    "latency_ms": "latency (ms per clip)",
}
"""Axis labels of the objectives that are not metrics."""

_STATES: Final = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}

_DAMAGE: Final = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)
"""Errors that reading a damaged record raises."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StudyRecord:
    """The content of a `study.json`."""

    name: str
    study: optuna.Study
    """All trials with all objectives."""
    first: optuna.Study
    """All trials with the first objective only. Most of Optuna's figures show one objective."""
    objectives: tuple[str, ...]
    """Axis label of each objective."""
    parameters: tuple[str, ...]
    """Parameters that a complete trial has, the most important first."""
    importances: Mapping[str, float]
    """Parameter -> share in [0, 1], in descending order; empty if it was not computed."""
    importances_note: str
    """Reason why `importances` is empty."""

    @property
    def complete(self) -> list[FrozenTrial]:
        """The complete trials."""
        return self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))

    def describe(self) -> str:
        """Return trial counts and the best trial as one sentence."""
        trials = self.study.get_trials(deepcopy=False)
        counts = Counter(trial.state for trial in trials)
        listed = ", ".join(
            f"{counts[state]} {name}" for state, name in _STATES.items() if counts[state]
        )
        text = f"{len(trials)} trials" + (f" ({listed})" if listed else "")
        best = best_trial(self.study, trials)
        if best is None:
            return f"{text}."
        return f"{text}; best: trial {best.number} with {self.objectives[0]} {best.values[0]:.5g}."


def read_study(path: Path) -> StudyRecord:
    """Read the `study.json` of a search.

    Raises:
        PipelineError: If the file is missing or does not describe a search.
    """
    content = read_json(path)
    try:
        return _record(content)
    except _DAMAGE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise PipelineError(
            f"{path}: is not the record of a search ({reason}). Run the search again with the "
            "same --run_dir: it writes the file from its storage."
        ) from error


def _record(content: Mapping[str, Any]) -> StudyRecord:
    study_name = str(content["study"])
    objectives = [str(each["name"]) for each in content["objectives"]]
    directions = [str(each["direction"]) for each in content["objectives"]]
    if not 1 <= len(objectives) <= 2:
        raise ValueError(f"expected one or two objectives; found {len(objectives)}")
    records = sorted(content["trials"], key=lambda trial: int(trial["number"]))
    names = [str(each["name"]) for each in content["parameters"]]
    labels = _short_names(names)
    distributions = {
        name: _distribution(
            each, [trial["overrides"][name] for trial in records if name in trial["overrides"]]
        )
        for name, each in zip(names, content["parameters"], strict=True)
    }
    started = [trial["started_ms"] for trial in records if trial["started_ms"] is not None]
    studies = []
    for num_objectives in (len(objectives), 1):
        study = optuna.create_study(study_name=study_name, directions=directions[:num_objectives])
        for trial in records:
            began = (
                trial["started_ms"] if trial["started_ms"] is not None else min(started, default=0)
            )
            study.add_trial(_trial(trial, began, distributions, labels, num_objectives))
        studies.append(study)
    complete = studies[0].get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    searched = [labels[name] for name in names if any(labels[name] in t.params for t in complete)]
    shares = {
        labels[name]: float(share)
        for name, share in ((content["importances"] or {}).get(_MEASURE) or {}).items()
        if labels.get(name) in searched and share is not None
    }
    ranked = sorted(searched, key=lambda name: -shares.get(name, -1.0))
    return StudyRecord(
        name=study_name,
        study=studies[0],
        first=studies[1],
        objectives=tuple(_COSTS.get(each, METRIC_NAMES.get(each, each)) for each in objectives),
        parameters=tuple(ranked),
        importances={name: shares[name] for name in ranked if name in shares},
        importances_note=str(content["importances_note"] or "") or "no importance was computed.",
    )


def _short_names(names: Sequence[str]) -> dict[str, str]:
    """Return each dotted name -> its last part, or itself if two names share that part."""
    counts = Counter(name.rpartition(".")[2] for name in names)
    return {
        name: name if counts[name.rpartition(".")[2]] > 1 else name.rpartition(".")[2]
        for name in names
    }


def _distribution(parameter: Mapping[str, Any], tried: Sequence[Any]) -> BaseDistribution:
    """Return the distribution of a parameter, extended to every tried value.

    A search that continues with a changed space has trials outside the declared range.
    """
    kind = {"categorical": "categorical", "int": "int", "float": "float"}[parameter["kind"]]
    are_numbers = all(
        isinstance(each, int | float) and not isinstance(each, bool) for each in tried
    )
    if kind == "categorical" or not are_numbers:
        choices = (*(parameter["choices"] or ()), *tried)
        return CategoricalDistribution(tuple(dict.fromkeys(label(each) for each in choices)))
    low, high = min([parameter["low"], *tried]), max([parameter["high"], *tried])
    is_log = bool(parameter["log"]) and low > 0
    if kind == "int" and all(isinstance(each, int) for each in tried):
        return IntDistribution(int(low), int(high), log=is_log)
    return FloatDistribution(float(low), float(high), log=is_log)


def _trial(
    record: Mapping[str, Any],
    started_ms: float,
    distributions: Mapping[str, BaseDistribution],
    labels: Mapping[str, str],
    num_objectives: int,
) -> FrozenTrial:
    state, values = TrialState[record["state"]], None
    if state == TrialState.COMPLETE:
        values = record["values"][:num_objectives]
        if not all(value is not None and math.isfinite(value) for value in record["values"]):
            state, values = TrialState.FAIL, None
    settings = {name: record["overrides"][name] for name in labels if name in record["overrides"]}
    steps = sorted((int(step), value) for step, value in record["intermediate"].items())
    shown = ("reason", "worker", "is_default")
    trial = optuna.create_trial(
        state=state,
        values=values,
        params={
            labels[name]: label(value)
            if isinstance(distributions[name], CategoricalDistribution)
            else value
            for name, value in settings.items()
        },
        distributions={labels[name]: distributions[name] for name in settings},
        user_attrs={name: record[name] for name in shown if record[name]},
        intermediate_values={step: float(value) for step, value in steps if value is not None},
    )
    if state != TrialState.WAITING:
        # Optuna draws local time without a zone, as it stores it.
        trial.datetime_start = datetime.fromtimestamp(started_ms / 1000)  # noqa: DTZ006
        if state.is_finished():
            seconds = timedelta(seconds=float(record["seconds"] or 0))
            trial.datetime_complete = trial.datetime_start + seconds
    return trial
