"""Summarize runs with several seeds or splits: one table for a paper, and one MLflow run."""

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.config.loading import flatten, load_run_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import RunError
from pipeline.core.files import write_text
from pipeline.core.run_directory import RUNS_DIR, RunDirectory, create_run_directory
from pipeline.core.run_log import RunLog
from pipeline.evaluation.run_summary import RunSummary, summarize_predictions
from pipeline.evaluation.summary_table import FORMATS, render
from pipeline.metrics.regression import METRICS
from pipeline.tracking.existing_runs import download_run, find_runs, local_run_directory
from pipeline.tracking.mlflow_settings import hide_run_urls
from pipeline.tracking.run_link import read_link
from pipeline.workflows.compare import read_run_predictions
from pipeline.workflows.session import open_session

_logger = logging.getLogger(__name__)

_NAME: Final = "summary"
"""Name of the table files, without suffix."""

_MAY_DIFFER: Final = (
    "name",
    "description",
    "seed",
    "data.split_seed",
    "data.features_dir",
    "evaluation.",
    "tracking.",
    "search.",
)
"""Settings and sections that may differ between runs of one method."""


@dataclass(frozen=True, kw_only=True)
class Summarized:
    """Result of `summarize_runs`."""

    summary: RunSummary
    run: RunDirectory
    """Directory of the tables, which is also the run directory of the summary."""
    table_paths: tuple[Path, ...]
    undelivered: str | None
    """Reason why the summary is not in MLflow yet; None if MLflow has it."""


def summarize_runs(
    run_dirs: Sequence[Path],
    against: Sequence[Path] = (),
    *,
    split: str,
    output_dir: Path | None = None,
) -> Summarized:
    """Compute the scores over several runs, write the tables, and log them to MLflow as one run.

    Args:
        run_dirs: Runs of one method, e.g. with several seeds.
        against: Runs of another method, to compare with.
        split: Subset of the clips, e.g. "test".
        output_dir: Directory for the tables; None for a new directory in `runs/`.

    Raises:
        RunError: If a run has no predictions for the split, a run is given twice, or the runs
            cannot be summarized together.
    """
    hide_run_urls()
    paths = _by_name([*run_dirs, *against])
    names = list(paths)
    predictions = {name: read_run_predictions(path, split) for name, path in paths.items()}
    configs = {
        name: load_run_config(RunDirectory(path).config_path) for name, path in paths.items()
    }
    sets = names[: len(run_dirs)], names[len(run_dirs) :]
    for each in sets:
        _warn_of_settings([configs[name] for name in each])
    summary = summarize_predictions(
        *({name: predictions[name] for name in each} for each in sets),
        split=split,
        seeds={name: config.seed for name, config in configs.items()},
    )
    config = _summary_config(configs[names[0]])
    run = _output_directory(output_dir, config.name)
    is_new = not run.run_log_path.exists()
    name = f"{_NAME} {config.name}"
    with open_session(run, config, num_steps=1, run_name=name) as session:
        if not is_new:
            session.run_log.log_resumed(0, offset=session.run_log.size)
        table_paths = tuple(run.path / f"{_NAME}.{suffix}" for suffix in FORMATS)
        for path, suffix in zip(table_paths, FORMATS, strict=True):
            write_text(path, render(summary, suffix))
        _log(session.run_log, summary, paths)
        session.run_log.log_artifacts([path.name for path in table_paths])
    return Summarized(
        summary=summary,
        run=run,
        table_paths=table_paths,
        undelivered=session.mirror.undelivered,
    )


def runs_of_experiment(experiment: str, filter_string: str, *, download_dir: Path) -> list[Path]:
    """Return the run directories of the finished training runs of an MLflow experiment.

    If the directory of a run is not on this machine, the artifacts of the run are downloaded to
    `download_dir/RUN_ID`. Nested runs, such as folds and trials, are left out.

    Raises:
        RunError: If no run is found, or MLflow is not reachable.
    """
    return [
        local_run_directory(run_id) or download_run(run_id, download_dir / run_id)
        for run_id in find_runs(experiment, filter_string)
    ]


def _by_name(run_dirs: Sequence[Path]) -> dict[str, Path]:
    """Return run name -> directory. The name is the name of the directory if it is unique.

    Raises:
        RunError: If a directory is given twice.
    """
    resolved = [path.resolve() for path in run_dirs]
    for path, real in zip(run_dirs, resolved, strict=True):
        if resolved.count(real) > 1:
            raise RunError(f"{path}: this run is given twice. Give each run once.")
    names = [real.name for real in resolved]
    return {
        name if names.count(name) == 1 else str(path): path
        for name, path in zip(names, run_dirs, strict=True)
    }


def _warn_of_settings(configs: Sequence[ExperimentConfig]) -> None:
    """Warn if runs of one method have different settings, because a mean would mix methods."""
    settings = [flatten(config) for config in configs]
    different = {
        name: values
        for name in dict.fromkeys(name for each in settings for name in each)
        if len(values := list(dict.fromkeys(str(each.get(name)) for each in settings))) > 1
        and not any(
            name == rule or (rule[-1] == "." and name.startswith(rule)) for rule in _MAY_DIFFER
        )
    }
    if different:
        listed = "; ".join(f"{name}: {', '.join(values)}" for name, values in different.items())
        _logger.warning(
            "the summarized runs have different settings (%s). Their mean mixes different methods. "
            "To compare two methods, give the runs of the other method with --against.",
            listed,
        )


def _summary_config(config: ExperimentConfig) -> ExperimentConfig:
    """Return the configuration of the summary: that of the first run, without registration."""
    tracking = dataclasses.replace(config.tracking.unregistered(), system_metrics=False)
    return dataclasses.replace(config, description="", tracking=tracking)


def _output_directory(path: Path | None, name: str) -> RunDirectory:
    if path is None or not path.exists():
        return create_run_directory(path, name=f"{name}-{_NAME}", parent=RUNS_DIR)
    run = RunDirectory(path.resolve())
    if run.run_log_path.exists() and not (run.path / f"{_NAME}.csv").exists():
        raise RunError(f"{path}: contains another run. Give another --output_dir.")
    return run


def _log(run_log: RunLog, summary: RunSummary, paths: Mapping[str, Path]) -> None:
    split = summary.split
    metrics = {
        f"evaluation/{split}/{metric}/{trait}": interval.value
        for metric, traits in summary.runs.means.items()
        for trait, interval in traits.items()
    }
    for metric in METRICS:
        deviation = summary.runs.deviations[metric]["mean"]
        if math.isfinite(deviation):
            metrics[f"deviation/{split}/{metric}/mean"] = deviation
        if summary.differences is not None:
            metrics[f"difference/{split}/{metric}/mean"] = summary.differences[metric]["mean"].value
    run_log.log_metrics(metrics)
    tags: dict[str, Any] = {"kind": _NAME, "mlflow.note.content": render(summary, "md")}
    for name, runs in (("runs", summary.runs), ("against", summary.against)):
        if runs is not None:
            tags[name] = ", ".join(runs.names)
            links = [read_link(RunDirectory(paths[run]).tracking_path) for run in runs.names]
            tags[f"{name}.ids"] = ", ".join(link.run_id for link in links if link is not None)
    run_log.log_tags(tags)
