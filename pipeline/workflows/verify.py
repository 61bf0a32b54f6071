"""Check an installation: train a model, and read every file that the run must contain."""

import dataclasses
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json, write_json
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import read_events
from pipeline.evaluation.baselines import load_baselines
from pipeline.figures.gallery import default_figures, figure_specs, is_blank
from pipeline.models.persistence import load_model
from pipeline.records.attention import read_attention
from pipeline.records.evaluation import read_report
from pipeline.records.metrics_history import (
    HISTORY_FILE,
    LEARNING_RATE_FILE,
    read_history,
    read_lr_logs,
)
from pipeline.records.predictions import read_predictions
from pipeline.records.summary import read_summary
from pipeline.records.time_logs import TIME_FILE, read_time_logs
from pipeline.tracking.run_link import read_link
from pipeline.workflows.train import run_training

RESULTS_FILE = "test_results.json"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Result of the check of one file."""

    part: str
    """Name of the pipeline part in `test_results.json`."""
    file: str
    """Path of the file, relative to the run directory."""
    fault: str
    """Problem with the file; "" if the file is correct."""


def verify_installation(config: ExperimentConfig, directory: Path) -> tuple[Check, ...]:
    """Train a model in an empty directory, and check every file that the run must contain.

    The built-in feature set and the run are written to `directory`.

    Raises:
        PipelineError: If the configuration is not valid.
    """
    data = dataclasses.replace(config.data, features_dir=str(directory / "features"))
    run = RunDirectory(directory / "run")
    fault = ""
    try:
        run_training(dataclasses.replace(config, data=data), run_dir=run.path)
    except PipelineError:
        raise
    except Exception as error:  # a faulty installation can cause any error
        _logger.exception("the demo stopped")
        fault = f"stopped with {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return (
        Check(part="training", file="(the run itself)", fault=fault),
        *check_run_files(run),
    )


def check_run_files(run: RunDirectory) -> Iterator[Check]:
    """Check every file that a run must contain."""
    for part, file, read in _expected(run):
        path, fault = run.path / file, ""
        if not path.exists():
            fault = "is missing"
        else:
            try:
                read(path)
            except (PipelineError, yaml.YAMLError, OSError, UnicodeDecodeError) as error:
                fault = " ".join(str(error).split())
        yield Check(part=part, file=file, fault=fault)


def write_results(path: Path, checks: tuple[Check, ...]) -> None:
    """Write `test_results.json`: `passed` or `failed` per part, and the result of each file."""
    parts = dict.fromkeys(check.part for check in checks)
    failed = {check.part for check in checks if check.fault}
    results: dict[str, Any] = {part: "failed" if part in failed else "passed" for part in parts}
    results["files"] = {check.file: check.fault or "passed" for check in checks}
    write_json(path, results)


def _expected(run: RunDirectory) -> Iterator[tuple[str, str, Callable[[Path], Any]]]:
    """Yield (part, file, reader) for every file that a run must contain."""
    yield "training", "config.yaml", lambda path: yaml.safe_load(path.read_text("utf-8"))
    yield "training", "events.jsonl", lambda path: list(read_events(path))
    yield "training", "model.keras", load_model
    yield "training", "summary.json", read_summary
    yield "training_callbacks", HISTORY_FILE, read_history
    yield "training_callbacks", TIME_FILE, read_time_logs
    yield "training_callbacks", LEARNING_RATE_FILE, read_lr_logs
    yield "evaluation", "evaluation.json", read_report
    yield "evaluation", "baselines.npz", load_baselines
    yield "evaluation", "predictions/validation.csv", _check_scores
    yield "attention_visualization", "attention.npz", read_attention
    parts = {
        "training_visualizations": "visualization_script",
        "attention_visualizations": "attention_visualization",
        "training_time_analysis": "training_time_analysis",
    }
    for name, spec in default_figures(figure_specs()).items():
        yield parts[spec.folder], f"{spec.folder}/{name}.png", _check_image
    advice = "training_time_analysis/training_speedup_recommendations"
    yield "training_time_analysis", f"{advice}.json", read_json
    yield "training_time_analysis", f"{advice}.txt", _check_text
    yield "report", "report.html", _check_text
    if run.tracking_path.exists():
        yield "tracking", "mlflow.json", _check_link


def _check_image(path: Path) -> None:
    if is_blank(path):
        raise PipelineError("is blank")


def _check_text(path: Path) -> None:
    if not path.read_text(encoding="utf-8").strip():
        raise PipelineError("is empty")


def _check_scores(path: Path) -> None:
    if np.ptp(read_predictions(path).y_pred) == 0:
        raise PipelineError("contains only equal scores")


def _check_link(path: Path) -> None:
    link = read_link(path)
    if link is None or not link.run_id:
        raise PipelineError("does not contain the id of an MLflow run")
