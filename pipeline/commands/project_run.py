"""Results of commands other than training in the run that `mlflow run` creates for each command."""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

_logger = logging.getLogger(__name__)


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
