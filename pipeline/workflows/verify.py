"""Checks an installation: runs the demo, and looks at every file that it must leave behind."""

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
from pipeline.figures.gallery import is_blank
from pipeline.models.persistence import load_model
from pipeline.records.attention import read_attention
from pipeline.records.evaluation import read_report
from pipeline.records.lr_logs import LEARNING_RATE_FILE, read_lr_logs
from pipeline.records.metrics_history import HISTORY_FILE, read_history
from pipeline.records.predictions import read_predictions
from pipeline.records.summary import read_summary
from pipeline.records.time_logs import TIME_FILE, read_time_logs
from pipeline.tracking.run_link import read_link
from pipeline.workflows.train import run_training
from pipeline.workflows.visualize import figure_specs

RESULTS_FILE = "test_results.json"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What became of one file."""

    part: str
    """What the file is a part of, by the name that tools of the field know."""
    file: str
    """The file, relative to the run directory."""
    fault: str
    """What is wrong with it; empty where nothing is."""


def verify_installation(config: ExperimentConfig, directory: Path) -> tuple[Check, ...]:
    """Run an experiment in `directory` and check every file that it must have written.

    Args:
        config: The experiment; its built-in data set and its runs go to `directory`.
        directory: An empty directory.

    Raises:
        PipelineError: If the experiment cannot be run as it is configured.
    """
    data = dataclasses.replace(config.data, features_dir=str(directory / "features"))
    run = RunDirectory(directory / "run")
    fault = _train(dataclasses.replace(config, data=data), run)
    return (
        Check(part="training", file="(the run itself)", fault=fault),
        *(
            Check(part=part, file=file, fault=_fault(run.path / file, read))
            for part, file, read in _expected(run)
        ),
    )


def write_results(path: Path, checks: tuple[Check, ...]) -> None:
    """Write `test_results.json`: each part `passed` or `failed`, and the files behind it."""
    parts = dict.fromkeys(check.part for check in checks)
    failed = {check.part for check in checks if check.fault}
    results: dict[str, Any] = {part: "failed" if part in failed else "passed" for part in parts}
    results["files"] = {check.file: check.fault or "passed" for check in checks}
    write_json(path, results)


def _train(config: ExperimentConfig, run: RunDirectory) -> str:
    """Run an experiment; return why it stopped, or nothing where it did not."""
    try:
        run_training(config, run_dir=run.path)
    except PipelineError:
        raise
    except Exception as error:  # what an installation lacks shows as any error at all
        _logger.exception("the demo stopped")
        return f"stopped with {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return ""


def _expected(run: RunDirectory) -> Iterator[tuple[str, str, Callable[[Path], Any]]]:
    """Yield part, file and reader of everything that a run of the demo leaves."""
    yield "training", "config.yaml", lambda path: yaml.safe_load(path.read_text("utf-8"))
    yield "training", "events.jsonl", lambda path: list(read_events(path))
    yield "training", "model.keras", load_model
    yield "training", "summary.json", read_summary
    yield "training_callbacks", HISTORY_FILE, read_history
    yield "training_callbacks", TIME_FILE, read_time_logs
    yield "training_callbacks", LEARNING_RATE_FILE, read_lr_logs
    yield "evaluation", "evaluation.json", read_report
    yield "evaluation", "baselines.npz", load_baselines
    yield "evaluation", "predictions/validation.csv", _read_scores
    yield "attention_visualization", "attention.npz", read_attention
    parts = {
        "training_visualizations": "visualization_script",
        "attention_visualizations": "attention_visualization",
        "training_time_analysis": "training_time_analysis",
    }
    for name, spec in figure_specs().items():
        yield parts[spec.folder], f"{spec.folder}/{name}.png", _look_at
    advice = "training_time_analysis/training_speedup_recommendations"
    yield "training_time_analysis", f"{advice}.json", read_json
    yield "training_time_analysis", f"{advice}.txt", _read_text
    yield "report", "report.html", _read_text
    if run.tracking_path.exists():
        yield "tracking", "mlflow.json", _read_delivered


def _fault(path: Path, read: Callable[[Path], Any]) -> str:
    if not path.exists():
        return "is missing"
    try:
        read(path)
    except (PipelineError, yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        return " ".join(str(error).split())
    return ""


def _look_at(path: Path) -> None:
    if is_blank(path):
        raise PipelineError("is blank")


def _read_text(path: Path) -> None:
    if not path.read_text(encoding="utf-8").strip():
        raise PipelineError("is empty")


def _read_scores(path: Path) -> None:
    scores = read_predictions(path).y_pred
    if np.ptp(scores) == 0:
        raise PipelineError("holds the same score everywhere")


def _read_delivered(path: Path) -> None:
    link = read_link(path)
    if link is None or not link.run_id:
        raise PipelineError("says that MLflow has not got the run")
