"""Open the MLflow tracking store safely, and limit the time of each call."""

import contextlib
import os
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock
import mlflow
import requests
import sqlalchemy
import sqlalchemy.exc
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ErrorCode

from pipeline.core.errors import first_line
from pipeline.core.urls import (
    HIDDEN,
    hide_passwords,
    sqlite_path,
    sqlite_url,
    without_user,
)
from pipeline.tracking.delivery import StoreUnavailableError
from pipeline.tracking.mlflow_settings import hide_run_urls, tracking_uri

STORE_ERRORS = (
    ImportError,  # the driver of a database is missing
    MlflowException,
    OSError,
    requests.RequestException,
    sqlalchemy.exc.SQLAlchemyError,
)
"""Errors that a call raises if the store is not reachable or rejects the call."""

_DATABASES = ("postgresql", "mysql", "mssql")
_CONNECT_SECONDS = 5
_RUN_VARIABLES = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
"""Environment variables with the run and the experiment of `mlflow run`."""


def with_password(uri: str) -> str:
    """Return a usable URI for a URI from `mlflow.json`, which may have a hidden password.

    A URI without a hidden password is returned unchanged. If the current tracking URI belongs to
    the same store, the current URI is returned. Otherwise the hidden password is removed from the
    URI, and a library reads the password from the environment. For a server, MLflow reads
    MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN. For PostgreSQL, libpq reads PGPASSWORD.

    Raises:
        MlflowException: If the password must come from the environment, but is missing there.
    """
    if HIDDEN not in uri:
        return uri
    current, bare = tracking_uri(), without_user(uri)
    is_same_store = hide_passwords(current) == uri or (
        HIDDEN not in bare and current != bare == without_user(current)
    )
    if is_same_store:
        return current
    is_server = uri.startswith("http")
    names = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN") if is_server else ("PGPASSWORD",)
    if any(name in os.environ for name in names):
        return bare if is_server else uri.replace(f":{HIDDEN}@", "@")
    user = "MLFLOW_TRACKING_USERNAME and " if is_server else ""
    raise MlflowException(
        f"the password of {uri} is not stored: set MLFLOW_TRACKING_URI to the URI with its "
        f"password, or set {user}{names[0]}"
    )


@contextlib.contextmanager
def local_store(directory: Path) -> Iterator[None]:
    """Run the block with `directory` as working directory and with a store in `directory`.

    The block does not use the run that `mlflow run` has created, which is in another store.
    """
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    hidden = {name: os.environ.pop(name) for name in _RUN_VARIABLES if name in os.environ}
    with contextlib.chdir(directory):
        mlflow.set_tracking_uri(sqlite_url(directory / "mlflow.db"))
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)
            os.environ.update(hidden)


def open_store(uri: str) -> MlflowClient:
    """Return a client of the store.

    MLflow creates the tables of a SQLite file without a lock, so two processes could damage a new
    file. Therefore this function locks the file while it opens the store.
    """
    mlflow.set_tracking_uri(uri)
    if hide_passwords(uri) != uri:
        hide_run_urls()  # the URLs would contain the password
    path = sqlite_path(uri)
    if path is None:
        if urllib.parse.urlsplit(uri).scheme.partition("+")[0] in _DATABASES:
            _check_connection(uri)
        return MlflowClient(tracking_uri=uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise MlflowException(
            f"{path}: MLflow needs a directory name in UTF-8. Set MLFLOW_TRACKING_URI to "
            "another place"
        ) from error
    with filelock.FileLock(path.with_name(f"{path.name}.lock")):
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    return client


def call_store(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function of the store, and raise StoreUnavailableError if the call fails."""
    try:
        return function(*args, **kwargs)
    except STORE_ERRORS as error:
        raise StoreUnavailableError(first_line(error)) from error


def call_within(seconds: float | None, call: Callable[[], Any]) -> Any:
    """Call a function in a separate thread, and wait at most `seconds` for its result.

    None means no limit. A call that exceeds the limit continues in a daemon thread.

    Raises:
        TimeoutError: If the call does not end in time.
        Exception: Any error that `call` raises.
    """
    results: list[Any] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="mlflow-call", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return results[0]


def has_code(error: Exception, code: int) -> bool:
    """Return True if an error is an MLflow error with the error code `code`."""
    return isinstance(error, MlflowException) and bool(error.error_code == ErrorCode.Name(code))


def _check_connection(uri: str) -> None:
    """Try to connect once, for a few seconds. MLflow itself tries ten times, for 100 s."""
    is_libpq_or_mysql = not uri.startswith("mssql")
    engine = sqlalchemy.create_engine(
        uri,
        poolclass=sqlalchemy.NullPool,
        connect_args={"connect_timeout": _CONNECT_SECONDS} if is_libpq_or_mysql else {},
    )
    with engine.connect():
        pass
