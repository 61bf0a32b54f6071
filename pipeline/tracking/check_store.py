"""Check before a run that MLflow can store the run. An unreachable store does not stop the run."""

import difflib
import os
import re
import urllib.parse

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, RunStatus
from mlflow.exceptions import InvalidUrlException, MlflowException
from mlflow.protos.databricks_pb2 import (
    CUSTOMER_UNAUTHORIZED,
    ENDPOINT_NOT_FOUND,
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    RESOURCE_DOES_NOT_EXIST,
    UNAUTHENTICATED,
)
from sqlalchemy.exc import ArgumentError

from pipeline.core.errors import RunError, first_line
from pipeline.core.urls import hide_passwords, sqlite_path
from pipeline.tracking.mlflow_settings import configure_mlflow, tracking_uri
from pipeline.tracking.store import (
    STORE_ERRORS,
    call_within,
    has_code,
    open_store,
)

_SECONDS = 5.0
_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")
_PERMANENT_ERRORS = (
    CUSTOMER_UNAUTHORIZED,
    ENDPOINT_NOT_FOUND,
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    RESOURCE_DOES_NOT_EXIST,
    UNAUTHENTICATED,
)


def check_store(experiment: str) -> None:
    """Check that MLflow can store a new run in `experiment`.

    If MLFLOW_RUN_ID is set, check instead that results can be logged to this existing MLflow run.
    `mlflow run` creates such a run and sets the variable.

    Raises:
        RunError: If the address of the store is wrong, the experiment is deleted, or the MLflow
            run in MLFLOW_RUN_ID is missing, deleted or ended.
    """
    configure_mlflow()
    uri = tracking_uri()
    run_id = os.environ.get("MLFLOW_RUN_ID", "")
    database = sqlite_path(uri)
    if not run_id and database is not None and not database.exists():
        return  # the mirror creates the database
    try:
        call_within(_SECONDS, lambda: _check(uri, experiment, run_id))
    except RunError:
        raise
    except STORE_ERRORS as error:
        is_wrong = isinstance(error, InvalidUrlException | ImportError | ArgumentError)
        if is_wrong or any(has_code(error, code) for code in _PERMANENT_ERRORS):
            raise RunError(hide_passwords(_explain(uri, error))) from error


def _check(uri: str, experiment: str, run_id: str) -> None:
    client = open_store(uri)
    if run_id:
        _check_run(client, run_id)
        return
    experiment_id = os.environ.get("MLFLOW_EXPERIMENT_ID", "")
    if experiment_id and "MLFLOW_EXPERIMENT_NAME" not in os.environ:
        found = client.get_experiment(experiment_id)
    else:
        found = client.get_experiment_by_name(experiment)
    if found is not None and found.lifecycle_stage == LifecycleStage.DELETED:
        raise RunError(
            f"The MLflow experiment {found.name!r} is deleted. Restore it with `mlflow "
            f"experiments restore --experiment-id {found.experiment_id}`, or give another "
            "--tracking.experiment."
        )


def _check_run(client: MlflowClient, run_id: str) -> None:
    problem = ""
    try:
        info = client.get_run(run_id).info
    except MlflowException as error:
        if not has_code(error, RESOURCE_DOES_NOT_EXIST):
            raise
        problem = "does not exist"
    else:
        if info.lifecycle_stage == LifecycleStage.DELETED:
            problem = "is deleted"
        elif RunStatus.is_terminated(RunStatus.from_string(info.status)):
            problem = f"is {info.status}"
    if problem:
        raise RunError(
            f"MLFLOW_RUN_ID={run_id}: this MLflow run {problem}, so nothing can be logged to it. "
            "`mlflow run` sets the variable for one run only: unset it."
        )


def _explain(uri: str, error: Exception) -> str:
    scheme = urllib.parse.urlsplit(uri).scheme
    near = difflib.get_close_matches(scheme, _SCHEMES, n=1)
    if isinstance(error, ImportError):
        fix = "Install the driver of the database, or set another MLFLOW_TRACKING_URI."
    elif isinstance(error, ArgumentError):
        fix = "Write for instance postgresql+psycopg://USER@HOST/DATABASE."
    elif has_code(error, RESOURCE_DOES_NOT_EXIST):
        fix = "Set another MLFLOW_EXPERIMENT_ID, or unset it."
    elif re.match(r"[\w.-]+:\d+(/|$)", uri):
        fix = f"Write http://{uri}."
    elif scheme in {"", "file"}:
        fix = "Give a database, for instance sqlite:///mlflow.db, or a server, http://HOST:PORT."
    elif scheme not in _SCHEMES and near:
        fix = f"Write {near[0]}{uri.removeprefix(scheme)}."
    else:
        fix = "Check the address, and the user name and the password if the server needs them."
    return f"MLFLOW_TRACKING_URI={uri}: MLflow cannot store runs there ({first_line(error)}). {fix}"
