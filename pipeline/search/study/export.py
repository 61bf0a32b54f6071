"""A study as plain files, which figures, people and other tools read without Optuna."""

import io
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import optuna
import pandas as pd
import yaml
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
)
from optuna.trial import FrozenTrial, TrialState

from pipeline.core.files import write_json, write_text
from pipeline.search.space.parameter import Parameter
from pipeline.search.space.space import RANK
from pipeline.search.study.retries import IS_DEFAULT, RETRY_OF, lost_numbers
from pipeline.search.study.study_status import best_trial
from pipeline.search.study_spec import SearchJob
from pipeline.search.trial_directory import trial_mlflow_run

_FEWEST_TRIALS = 8
"""Complete trials below which a number for the importance of a parameter is noise."""


def write_study(job: SearchJob, study: optuna.Study) -> None:
    """Write `study.json`, `trials.csv` and `space.yaml` into the study's `search/`."""
    described = describe_study(job, study)
    directory = job.run.search_dir
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "study.json", described)
    write_text(directory / "trials.csv", _table(described))
    write_text(directory / "space.yaml", yaml.safe_dump(job.space.to_json(), sort_keys=False))


def describe_study(job: SearchJob, study: optuna.Study) -> dict[str, Any]:
    """Return all that is known of a study, as plain values."""
    trials = study.get_trials(deepcopy=False)
    lost = lost_numbers(trials)
    best = best_trial(study, trials)
    importances, note = _importances(job, study)
    return {
        "study": job.study_name,
        "space": job.space.to_json(),
        "parameters": [_parameter(each) for each in job.space.parameters],
        "objectives": [
            {"name": name, "direction": direction}
            for name, direction in zip(job.objectives, job.directions, strict=True)
        ],
        "trials": [_trial(job, trial, lost) for trial in trials],
        "importances": importances,
        "importances_note": note,
        "best": None if best is None else {"number": best.number},
        "pareto": sorted(trial.number for trial in study.best_trials) if best else [],
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    is_choice = parameter.kind == "categorical"
    return {
        "name": parameter.name,
        "kind": parameter.kind,
        "log": parameter.log,
        "choices": list(parameter.choices) if is_choice else None,
        "low": parameter.low,
        "high": parameter.high,
    }


def _trial(job: SearchJob, trial: FrozenTrial, lost: set[int]) -> dict[str, Any]:
    began, ended = trial.datetime_start, trial.datetime_complete
    noted = trial.user_attrs
    reason = str(noted.get("reason", ""))
    if trial.state == TrialState.FAIL and not reason:
        was_retried = trial.number in lost
        reason = f"its worker died; it was {'tried again' if was_retried else 'given up'}"
    return {
        "number": trial.number,
        "state": trial.state.name,
        "values": list(trial.values) if trial.state == TrialState.COMPLETE else None,
        "overrides": noted.get("overrides", {}),
        "intermediate": {str(step): value for step, value in trial.intermediate_values.items()},
        "started_ms": None if began is None else round(1000 * began.timestamp()),
        "seconds": None if began is None or ended is None else (ended - began).total_seconds(),
        "reason": reason,
        "is_default": bool(noted.get(IS_DEFAULT, False)),
        "retry_of": noted.get(RETRY_OF),
        "worker": noted.get("worker", ""),
        "best_epochs": noted.get("best_epochs", []),
        "mlflow_run_id": trial_mlflow_run(job, trial),
    }


def _importances(
    job: SearchJob, study: optuna.Study
) -> tuple[dict[str, dict[str, float]] | None, str]:
    """Return the importance of each parameter by two measures, or why there is none.

    Reference: Hutter et al., 2014 (fANOVA); Watanabe et al., 2023 (arXiv:2304.10255, PED-ANOVA).
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < _FEWEST_TRIALS:
        return None, f"needs {_FEWEST_TRIALS} complete trials; there are {len(complete)}."
    evaluators: dict[str, Callable[[], BaseImportanceEvaluator]] = {
        "ped_anova": PedAnovaImportanceEvaluator,
        "fanova": lambda: FanovaImportanceEvaluator(seed=job.config.seed),
    }
    sign = -1.0 if job.directions[0] == "maximize" else 1.0
    importances = {}
    for name, build in evaluators.items():
        try:
            with warnings.catch_warnings():
                # It looks for what makes the target low, says so, and is given one that is.
                warnings.filterwarnings("ignore", message=".*to achieve low `target` values")
                found = optuna.importance.get_param_importances(
                    study, evaluator=build(), target=lambda trial: sign * trial.values[0]
                )
        except (ValueError, RuntimeError) as error:
            return None, f"{name} cannot be computed ({error})."
        importances[name] = {_plain(each): float(value) for each, value in found.items()}
    return importances, ""


def _plain(name: str) -> str:
    """Return the setting that an Optuna parameter stands for."""
    return name.removesuffix(RANK)


def _table(described: Mapping[str, Any]) -> str:
    """Return the trials as CSV, one row a trial."""
    objectives = [objective["name"] for objective in described["objectives"]]
    names = [parameter["name"] for parameter in described["parameters"]]
    rows = [
        {
            "trial": trial["number"],
            "state": trial["state"],
            **dict.fromkeys(objectives),
            **dict(zip(objectives, trial["values"] or (), strict=False)),
            **{name: trial["overrides"].get(name) for name in names},
            **{key: trial[key] for key in ("seconds", "reason", "is_default", "retry_of")},
        }
        for trial in described["trials"]
    ]
    buffer = io.StringIO()
    pd.DataFrame(rows).to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()
