"""The MLflow store: which one, opened without a race and without hanging."""

import contextlib
import logging
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

from pipeline.core.urls import (
    HIDDEN,
    absolute_url,
    hide_passwords,
    sqlite_path,
    sqlite_url,
    without_user,
)

STORE_ERRORS = (
    ImportError,  # the driver of a database
    MlflowException,
    OSError,
    requests.RequestException,
    sqlalchemy.exc.SQLAlchemyError,
)
"""What a store raises that cannot be reached, or refuses what it is asked."""

_DATABASES = ("postgresql", "mysql", "mssql")
_CONNECT_SECONDS = 5


def configure_mlflow() -> None:
    """Make MLflow quiet, and quick to give up on a server that is gone.

    With its defaults a single call blocks for four minutes. What cannot be delivered
    now is in the run log and is delivered later. Values that the user has set win.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # A store that cannot be reached is reported by our own one line: not by a traceback of
    # a hundred for a locked database, nor by a line for every request that is tried again.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def hide_run_urls() -> None:
    """Keep MLflow from printing the address of each run that ends: a search ends many."""
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


def tracking_uri() -> str:
    """Return the store in use: what the user has set, or `mlflow.db` in the working directory.

    A SQLite file is named by its absolute path, so that `sync` finds it from anywhere.
    """
    if mlflow.is_tracking_uri_set():
        return absolute_url(str(mlflow.get_tracking_uri()))
    return sqlite_url(Path("mlflow.db"))


def with_password(uri: str) -> str:
    """Return the URI of a store with the password that `mlflow.json` leaves out.

    The password is taken from the tracking URI in use, if it names the same place. MLflow itself
    reads MLFLOW_TRACKING_USERNAME and the like, and libpq reads PGPASSWORD.

    Raises:
        MlflowException: If the environment holds no password.
    """
    if HIDDEN not in uri:
        return uri
    current, bare = tracking_uri(), without_user(uri)
    names_same = hide_passwords(current) == uri or (
        HIDDEN not in bare and current != bare == without_user(current)
    )
    if names_same:
        return current
    names = (
        ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
        if uri.startswith("http")
        else ("PGPASSWORD",)
    )
    if any(name in os.environ for name in names):
        return bare if uri.startswith("http") else uri.replace(f":{HIDDEN}@", "@")
    user = "MLFLOW_TRACKING_USERNAME and " if uri.startswith("http") else ""
    raise MlflowException(
        f"no file holds the password of {uri}: set MLFLOW_TRACKING_URI to the URI with its "
        f"password, or set {user}{names[0]}"
    )


def store_environment() -> dict[str, str]:
    """Return the environment variables that say where the store is, and who may use it."""
    return {name: os.environ[name] for name in os.environ if name.startswith("MLFLOW_TRACKING_")}


@contextlib.contextmanager
def local_store(directory: Path) -> Iterator[None]:
    """Work in `directory`, with a store of its own there, unless `mlflow run` has chosen one."""
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    with contextlib.chdir(directory):
        if "MLFLOW_RUN_ID" not in os.environ:
            mlflow.set_tracking_uri(sqlite_url(directory / "mlflow.db"))
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)


def open_store(uri: str) -> MlflowClient:
    """Return a client of the store; a fresh SQLite file is created by one process at a time.

    Several processes that open the same new file at once break it for good: MLflow
    migrates its tables without a lock.
    """
    mlflow.set_tracking_uri(uri)
    if hide_passwords(uri) != uri:
        hide_run_urls()  # MLflow would print the password with them
    path = sqlite_path(uri)
    if path is None:
        if urllib.parse.urlsplit(uri).scheme.partition("+")[0] in _DATABASES:
            _connect_once(uri)
        return MlflowClient(tracking_uri=uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise MlflowException(
            f"{path}: MLflow needs a directory whose name is UTF-8. Set MLFLOW_TRACKING_URI to "
            "another place"
        ) from error
    with filelock.FileLock(path.with_name(f"{path.name}.lock")):
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    return client


def _connect_once(uri: str) -> None:
    """Connect to a database, in a few seconds at most.

    MLflow itself tries ten times, for about 100 s, whenever a store is opened.

    Raises:
        SQLAlchemyError: If that fails.
    """
    is_libpq_or_mysql = not uri.startswith("mssql")
    engine = sqlalchemy.create_engine(
        uri,
        poolclass=sqlalchemy.NullPool,
        connect_args={"connect_timeout": _CONNECT_SECONDS} if is_libpq_or_mysql else {},
    )
    with engine.connect():
        pass


def call_within(seconds: float | None, call: Callable[[], Any]) -> Any:
    """Return the result of `call`, which runs in a thread of its own.

    The caller can be interrupted while it waits. A call that takes too long goes on in its
    thread, which ends with the process.

    Args:
        seconds: Longest wait; None waits for the end of the call.
        call: Function without arguments.

    Raises:
        TimeoutError: If the call does not end in time.
        Exception: The error of the call itself.
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
