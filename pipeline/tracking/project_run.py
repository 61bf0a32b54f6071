"""The run that `mlflow run` creates before it starts a command. MLFLOW_RUN_ID contains its id."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag
from mlflow.utils.name_utils import _GENERATOR_NOUNS, _GENERATOR_PREDICATES

from pipeline.core.errors import first_line
from pipeline.tracking.metric_names import mlflow_name
from pipeline.tracking.mlflow_settings import configure_mlflow, tracking_uri
from pipeline.tracking.store import (
    STORE_ERRORS,
    call_within,
    open_store,
)

_SECONDS = 10.0


def has_given_name(run_id: str) -> bool:
    """Return True if the user has named the MLflow run, as in `mlflow run --run-name NAME`.

    MLflow generates other names from two lists of words, for example `abundant-shad-446`.
    """
    try:
        name = call_within(_SECONDS, lambda: _client().get_run(run_id).info.run_name) or ""
    except STORE_ERRORS:
        return False
    predicate, _, rest = str(name).partition("-")
    noun, _, number = rest.rpartition("-")
    is_generated = (
        predicate in _GENERATOR_PREDICATES and noun in _GENERATOR_NOUNS and number.isdecimal()
    )
    return not is_generated


def fill_run(
    run_id: str,
    *,
    name: str,
    description: str,
    metrics: Mapping[str, float],
    paths: Iterable[Path],
) -> str | None:
    """Log the result of a command to an MLflow run. Return None, or the reason for a failure.

    Args:
        run_id: Id of the MLflow run.
        name: New name of the run, if the user has not named it.
        description: Description in Markdown.
        metrics: Names as in the run log -> values.
        paths: Files and directories to log as artifacts.
    """
    now = time.time_ns() // 1_000_000
    try:
        client = _client()
        tags = [RunTag("mlflow.note.content", description)]
        if not has_given_name(run_id):
            tags.append(RunTag("mlflow.runName", name))
        points = [
            Metric(found, value, now, 0)
            for key, value in metrics.items()
            if (found := mlflow_name(key)) is not None
        ]
        client.log_batch(run_id, metrics=points, tags=tags)
        for path in paths:
            if path.is_dir():
                client.log_artifacts(run_id, str(path), path.name)
            elif path.exists():
                client.log_artifact(run_id, str(path))
    except STORE_ERRORS as error:
        return first_line(error)
    return None


def _client() -> MlflowClient:
    configure_mlflow()
    return open_store(tracking_uri())
