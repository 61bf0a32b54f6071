"""Read all records of a run directory, and list missing and damaged files."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.config.loading import load_run_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json
from pipeline.core.run_directory import RunDirectory
from pipeline.records.data_description import DataDescription
from pipeline.records.evaluation import EvaluationReport, read_report
from pipeline.records.manifest import check_files
from pipeline.records.metrics_history import (
    HISTORY_FILE,
    LEARNING_RATE_FILE,
    LearningRateLogs,
    MetricsHistory,
)
from pipeline.records.predictions import Predictions, read_predictions
from pipeline.records.summary import Environment, Summary
from pipeline.records.time_logs import TIME_FILE, TimeLogs
from pipeline.records.typed_json import check_content


@dataclass(frozen=True, kw_only=True, slots=True)
class Recommendation:
    """Entry of `training_speedup_recommendations.json`."""

    issue: str
    details: str
    """One sentence with the measurement."""
    recommendation: str
    expected_gain: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecords:
    """Records of a run. A field is None if its file is missing or damaged."""

    name: str
    directory: str
    """Path of the run directory, relative to the working directory if possible."""
    config: ExperimentConfig | None = None
    summary: Summary | None = None
    evaluation: EvaluationReport | None = None
    """Evaluation that the report is about."""
    other_evaluations: tuple[EvaluationReport, ...] = ()
    """Evaluations of other splits."""
    predictions: Predictions | None = None
    environment: Environment | None = None
    features: DataDescription | None = None
    history: MetricsHistory | None = None
    time_logs: TimeLogs | None = None
    lr_logs: LearningRateLogs | None = None
    recommendations: tuple[Recommendation, ...] | None = None
    status: str | None = None
    """FINISHED, FAILED or KILLED; None if the run has not ended."""
    problems: tuple[str, ...] = ()
    """Missing and damaged files, one line per file."""

    @property
    def is_ridge(self) -> bool:
        """Whether the scores of the model are those of ridge regression."""
        return self.summary is not None and self.summary.is_ridge


CONFIG_FILE: Final = "config.yaml"
ADVICE_FILE: Final = "training_time_analysis/training_speedup_recommendations.json"

FILES: Final[Mapping[str, tuple[str, Any]]] = {
    CONFIG_FILE: ("config", ExperimentConfig),
    "summary.json": ("summary", Summary),
    "evaluation.json": ("evaluation", EvaluationReport),
    "environment.json": ("environment", Environment),
    "data.json": ("features", DataDescription),
    HISTORY_FILE: ("history", MetricsHistory),
    TIME_FILE: ("time_logs", TimeLogs),
    LEARNING_RATE_FILE: ("lr_logs", LearningRateLogs),
    ADVICE_FILE: ("recommendations", tuple[Recommendation, ...]),
}
"""Path in the run directory -> field of `RunRecords`, and type of the field."""


def load_records(
    run: RunDirectory, *, status: str | None = None, split: str = "validation"
) -> RunRecords:
    """Read all records of a run. `status` is the last status in the run log.

    If `split` was not evaluated, the evaluation is the last one.
    """
    values: dict[str, Any] = {}
    problems = []
    for file, (target, form) in FILES.items():
        path = run.path / file
        if not path.exists():
            summary = values.get("summary")
            has_no_held_out_clips = summary and summary.num_clips.get("validation") == 0
            if file != ADVICE_FILE and not (file == "evaluation.json" and has_no_held_out_clips):
                problems.append(f"{file}: the run does not have this file.")
            continue
        try:
            check_files(run, path)
            if file == CONFIG_FILE:
                values[target] = load_run_config(path)
            else:
                values[target] = check_content(form, read_json(path))
        except PipelineError as error:
            problems.append(f"{file}: {str(error).removeprefix(f'{path}: ')}")
    if "evaluation" in values:
        evaluations = {values["evaluation"].split: values["evaluation"]}
        for path in sorted(run.evaluations_dir.glob("*.json")):
            try:
                check_files(run, path)
                evaluations.setdefault(path.stem, read_report(path))
            except PipelineError as error:
                place = path.relative_to(run.path).as_posix()
                problems.append(f"{place}: {str(error).removeprefix(f'{path}: ')}")
        values["evaluation"] = evaluations.pop(split, None) or evaluations.pop(
            next(iter(evaluations))
        )
        values["other_evaluations"] = tuple(evaluations.values())
        with contextlib.suppress(PipelineError):  # this error is listed with the figures
            path = run.predictions_path(values["evaluation"].split)
            check_files(run, path)
            values["predictions"] = read_predictions(path)
    here, whole = Path.cwd(), run.path.absolute()
    return RunRecords(
        name=run.path.name,
        directory=str(whole.relative_to(here) if whole.is_relative_to(here) else whole),
        status=status,
        problems=tuple(problems),
        **values,
    )
