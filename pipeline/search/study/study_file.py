"""Write a study as plain files, and read `study.json` without the Optuna storage."""

import io
import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import optuna
import pandas as pd
import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
)
from optuna.trial import FrozenTrial, TrialState

from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json, write_json, write_text
from pipeline.core.number_format import METRIC_NAMES
from pipeline.search.mlflow_runs import trial_run_id
from pipeline.search.space.space import RANK, label
from pipeline.search.study.retries import IS_DEFAULT, RETRY_OF, lost_numbers
from pipeline.search.study.study_status import best_trial
from pipeline.search.study_spec import StudySpec

STATE_NAMES: Final = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}

_MIN_TRIALS = 8
"""Minimum number of complete trials for reliable parameter importances."""

_MEASURE: Final = "ped_anova"
"""Importance measure that the figures show; also the default of Optuna and optuna-dashboard."""

_COST_NAMES: Final[Mapping[str, str]] = {
    "weights": "number of weights",
    "latency_ms": "latency (ms per clip)",
}

_ATTRIBUTES: Final = ("reason", "worker", "is_default")
_DAMAGE: Final = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)
"""Errors that a damaged file can cause."""


def write_study(spec: StudySpec, study: optuna.Study) -> None:
    """Write `study.json`, `trials.csv` and `space.yaml` into `search/` of the run directory."""
    content = study_content(spec, study)
    directory = spec.run.search_dir
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "study.json", content)
    write_text(directory / "trials.csv", _trial_table(content))
    write_text(directory / "space.yaml", yaml.safe_dump(spec.space.to_json(), sort_keys=False))


def study_content(spec: StudySpec, study: optuna.Study) -> dict[str, Any]:
    """Return the content of `study.json`."""
    trials = study.get_trials(deepcopy=False)
    lost = lost_numbers(trials)
    best = best_trial(study, trials)
    importances, note = _importances(spec, study)
    return {
        "study": spec.study_name,
        "space": spec.space.to_json(),
        "parameters": [
            {
                **{key: getattr(each, key) for key in ("name", "kind", "log", "low", "high")},
                "choices": list(each.choices) if each.kind == "categorical" else None,
            }
            for each in spec.space.parameters
        ],
        "objectives": [
            {"name": name, "direction": direction}
            for name, direction in zip(spec.objectives, spec.directions, strict=True)
        ],
        "trials": [_trial_content(spec, trial, lost) for trial in trials],
        "importances": importances,
        "importances_note": note,
        "best": None if best is None else {"number": best.number},
        "pareto": sorted(trial.number for trial in study.best_trials) if best else [],
    }


def _trial_content(spec: StudySpec, trial: FrozenTrial, lost: set[int]) -> dict[str, Any]:
    start, end = trial.datetime_start, trial.datetime_complete
    attributes = trial.user_attrs
    reason = str(attributes.get("reason", ""))
    if trial.state == TrialState.FAIL and not reason:
        reason = (
            f"the worker died; the trial was {'' if trial.number in lost else 'not '}tried again"
        )
    return {
        "number": trial.number,
        "state": trial.state.name,
        "values": list(trial.values) if trial.state == TrialState.COMPLETE else None,
        "overrides": attributes.get("overrides", {}),
        "intermediate": {str(step): value for step, value in trial.intermediate_values.items()},
        "started_ms": None if start is None else round(1000 * start.timestamp()),
        "seconds": None if start is None or end is None else (end - start).total_seconds(),
        "reason": reason,
        "is_default": bool(attributes.get(IS_DEFAULT, False)),
        "retry_of": attributes.get(RETRY_OF),
        "worker": attributes.get("worker", ""),
        "best_epochs": attributes.get("best_epochs", []),
        "mlflow_run_id": trial_run_id(spec, trial),
    }


def _importances(
    spec: StudySpec, study: optuna.Study
) -> tuple[dict[str, dict[str, float]] | None, str]:
    """Return two items: the parameter importances by two measures, and an empty note.

    If there are too few complete trials or a measure cannot be computed, the items are None and a
    note with the reason.

    Reference: Hutter et al., 2014 (fANOVA); Watanabe et al., 2023 (arXiv:2304.10255, PED-ANOVA).
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < _MIN_TRIALS:
        return None, f"needs {_MIN_TRIALS} complete trials; there are {len(complete)}."
    evaluators: dict[str, Callable[[], BaseImportanceEvaluator]] = {
        "ped_anova": PedAnovaImportanceEvaluator,
        "fanova": lambda: FanovaImportanceEvaluator(seed=spec.config.seed),
    }
    sign = -1.0 if spec.directions[0] == "maximize" else 1.0
    importances = {}
    for name, build in evaluators.items():
        try:
            with warnings.catch_warnings():
                # PED-ANOVA warns that low target values must be the good ones. This is the case
                # here: an objective to maximize is multiplied by -1.
                warnings.filterwarnings("ignore", message=".*to achieve low `target` values")
                shares = optuna.importance.get_param_importances(
                    study, evaluator=build(), target=lambda trial: sign * trial.values[0]
                )
        except (ValueError, RuntimeError) as error:
            return None, f"{name} cannot be computed ({error})."
        importances[name] = {key.removesuffix(RANK): float(share) for key, share in shares.items()}
    return importances, ""


def _trial_table(content: Mapping[str, Any]) -> str:
    objectives = [objective["name"] for objective in content["objectives"]]
    names = [parameter["name"] for parameter in content["parameters"]]
    rows = [
        {
            "trial": trial["number"],
            "state": trial["state"],
            **dict.fromkeys(objectives),
            **dict(zip(objectives, trial["values"] or (), strict=False)),
            **{name: trial["overrides"].get(name) for name in names},
            **{key: trial[key] for key in ("seconds", "reason", "is_default", "retry_of")},
        }
        for trial in content["trials"]
    ]
    buffer = io.StringIO()
    pd.DataFrame(rows).to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StudyRecord:
    """Content of `study.json`."""

    name: str
    study: optuna.Study
    """All trials with all objectives."""
    first: optuna.Study
    """All trials, each with only the first objective, because most figures show one objective."""
    objectives: tuple[str, ...]
    """Axis label of each objective."""
    parameters: tuple[str, ...]
    """Parameters of the complete trials, in descending order of importance."""
    importances: Mapping[str, float]
    """Parameter -> importance in [0, 1], in descending order; empty if none was computed."""
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
            f"{counts[state]} {name}" for state, name in STATE_NAMES.items() if counts[state]
        )
        text = f"{len(trials)} trials" + (f" ({listed})" if listed else "")
        best = best_trial(self.study, trials)
        if best is None:
            return f"{text}."
        value = f"{self.objectives[0]} {best.values[0]:.5g}"
        return f"{text}; best on validation clips: trial {best.number} with {value}."


def read_study(path: Path) -> StudyRecord:
    """Read `study.json`.

    Raises:
        PipelineError: If the file is missing or damaged.
    """
    content = read_json(path)
    try:
        return _record(content)
    except _DAMAGE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise PipelineError(
            f"{path}: is not the record of a search ({reason}). To restore the file from the "
            "storage, run the search again with the same --run_dir."
        ) from error


def _record(content: Mapping[str, Any]) -> StudyRecord:
    study_name = str(content["study"])
    objectives = [str(each["name"]) for each in content["objectives"]]
    directions = [str(each["direction"]) for each in content["objectives"]]
    if not 1 <= len(objectives) <= 2:
        raise ValueError(f"expected one or two objectives; got {len(objectives)}")
    records = sorted(content["trials"], key=lambda trial: int(trial["number"]))
    names = [str(each["name"]) for each in content["parameters"]]
    labels = _short_names(names)
    distributions = {
        name: _distribution(
            each, [trial["overrides"][name] for trial in records if name in trial["overrides"]]
        )
        for name, each in zip(names, content["parameters"], strict=True)
    }
    first_start = min(
        (trial["started_ms"] for trial in records if trial["started_ms"] is not None), default=0
    )
    studies = []
    for num_objectives in (len(objectives), 1):
        study = optuna.create_study(study_name=study_name, directions=directions[:num_objectives])
        for trial in records:
            study.add_trial(_trial(trial, first_start, distributions, labels, num_objectives))
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
        objectives=tuple(
            _COST_NAMES.get(each, METRIC_NAMES.get(each, each)) for each in objectives
        ),
        parameters=tuple(ranked),
        importances={name: shares[name] for name in ranked if name in shares},
        importances_note=str(content["importances_note"] or "") or "no importance was computed.",
    )


def _short_names(names: Sequence[str]) -> dict[str, str]:
    """Return dotted name -> short name: the last part if it is unique, else the dotted name."""
    counts = Counter(name.rpartition(".")[2] for name in names)
    return {
        name: name if counts[name.rpartition(".")[2]] > 1 else name.rpartition(".")[2]
        for name in names
    }


def _distribution(parameter: Mapping[str, Any], tried: Sequence[Any]) -> BaseDistribution:
    """Return the Optuna distribution of a parameter, wide enough for all values in the trials."""
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
    first_start: float,
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
        user_attrs={name: record[name] for name in _ATTRIBUTES if record[name]},
        intermediate_values={step: float(value) for step, value in steps if value is not None},
    )
    if state != TrialState.WAITING:
        started_ms = first_start if record["started_ms"] is None else record["started_ms"]
        # Optuna uses local time without a time zone.
        trial.datetime_start = datetime.fromtimestamp(started_ms / 1000)  # noqa: DTZ006
        if state.is_finished():
            seconds = timedelta(seconds=float(record["seconds"] or 0))
            trial.datetime_complete = trial.datetime_start + seconds
    return trial
