"""Commands that `mlflow run` starts: their working directory, and results in the MLflow run."""

import argparse
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

_logger = logging.getLogger(__name__)

_SHELLS = ("bash", "sh", "cmd.exe")
"""Programs between `mlflow run` and the command."""


def enter_caller_directory(arguments: argparse.Namespace) -> None:
    """Change to the directory in which the user has typed `mlflow run GIT_URI`.

    `mlflow run` copies a project that is not on this machine to a temporary directory, and starts
    the command there. Without this function, relative paths of the user would be searched in the
    copy, and new runs would be written into it. Configuration files that exist only in the copy
    are still found.
    """
    here = Path.cwd()
    is_temporary = here.is_relative_to(Path(tempfile.gettempdir()).resolve())
    is_copy = is_temporary and (here / "MLproject").exists()
    if "MLFLOW_RUN_ID" not in os.environ or not is_copy:
        return
    import psutil

    try:
        ancestors = psutil.Process().parents()
        mlflow = next(each for each in ancestors if each.name() not in _SHELLS)
        caller = Path(mlflow.cwd())
    except (StopIteration, psutil.Error):
        return
    for name in ("config", "space"):
        path = getattr(arguments, name, None)
        if path is not None and path.exists() and not (caller / path).exists():
            setattr(arguments, name, path.absolute())
    os.chdir(caller)


def record_result(
    name: str,
    description: str,
    *,
    metrics: Mapping[str, float] | None = None,
    paths: Iterable[Path] = (),
) -> None:
    """Log the result of a command to the run of `mlflow run`. Without such a run, do nothing.

    `metrics` has the names of the run log. `paths` are files and directories to log.
    """
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if run_id is None:
        return
    from pipeline.tracking.project_run import fill_run

    problem = fill_run(
        run_id, name=name, description=description, metrics=metrics or {}, paths=paths
    )
    if problem is not None:
        _logger.warning("MLflow does not have the result of this command (%s).", problem)
