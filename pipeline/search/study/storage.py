"""Where a study is kept: SQLite on one machine, PostgreSQL for several."""

import contextlib
import importlib.util
import zlib
from collections.abc import Iterator

import filelock
import optuna
import sqlalchemy
import sqlalchemy.exc
import sqlalchemy.pool
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, make_url

from pipeline.core.errors import SearchError, install_command
from pipeline.core.urls import hide_passwords, sqlite_path
from pipeline.search.study.retries import Retry

STORAGE_ERRORS = (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError)
"""What is raised while a database cannot be reached."""
_MISSED_BEATS = 3
_LOCK_SECONDS = 60.0
"""How long a process waits for another that writes to the same SQLite file."""


def open_storage(url: str, *, heartbeat_seconds: int, max_retries: int) -> RDBStorage:
    """Open a storage, and make its tables where there are none.

    Args:
        url: SQLAlchemy URL, `sqlite:///...` or `postgresql+psycopg://...`.
        heartbeat_seconds: How often a running trial says that it is alive.
        max_retries: How often a trial is tried again that has fallen silent.

    Raises:
        SearchError: If the URL cannot be used, or the database cannot be reached.
    """
    parsed = _parsed(url)
    if path := sqlite_path(url):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Several processes that make the tables at once get in each other's way.
        with creation_lock(url, "tables"):
            return RDBStorage(
                url,
                engine_kwargs=_engine_options(parsed),
                heartbeat_interval=heartbeat_seconds,
                grace_period=_MISSED_BEATS * heartbeat_seconds,
                heartbeat_stale_trial_callback=Retry(max_retries=max_retries),
            )
    except STORAGE_ERRORS as error:
        raise _cannot_open(parsed, error) from error


@contextlib.contextmanager
def creation_lock(url: str, what: str) -> Iterator[None]:
    """Keep other processes and machines from making the same thing meanwhile.

    Args:
        url: The database that it is made in.
        what: Name of the thing, e.g. `tables`.

    Raises:
        SearchError: If the database cannot be reached.
    """
    parsed = _parsed(url)
    if path := sqlite_path(url):
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_name(f"{path.name}.{what}.lock")):
            yield
        return
    engine = sqlalchemy.create_engine(parsed, poolclass=sqlalchemy.pool.NullPool)
    # The lock ends with the connection, so that a kill leaves none behind.
    with _connect(engine) as connection:
        key = zlib.crc32(f"ocean-pipeline {what}".encode())
        connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_lock(key)))
        yield


def _connect(engine: sqlalchemy.Engine) -> sqlalchemy.Connection:
    try:
        return engine.connect()
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise _cannot_open(engine.url, error) from error


def _cannot_open(url: URL, error: Exception) -> SearchError:
    shown = hide_passwords(url.render_as_string(hide_password=False))
    reason = hide_passwords(str(error)).strip().splitlines()[0]
    return SearchError(
        f"{shown}: the storage cannot be opened ({reason}). "
        "Check that the database is there and that this user may make tables in it."
    )


def _parsed(url: str) -> URL:
    shown = hide_passwords(url)
    try:
        parsed = make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # a port that is no number
        raise SearchError(
            f"--storage {shown}: is not a database URL. Give sqlite:///FILE, or "
            "postgresql+psycopg://USER@HOST/DATABASE."
        ) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite" and sqlite_path(url) is None:
        raise SearchError(
            f"--storage {shown}: lives in the memory of one process, and workers are several. "
            "Name a file: sqlite:///FILE."
        )
    driver = {"postgresql+psycopg": "psycopg", "postgresql": "psycopg2"}.get(parsed.drivername)
    if driver and importlib.util.find_spec(driver) is None:
        raise SearchError(
            f"--storage {shown}: needs {driver}, which is not installed. Install "
            f"it with `{install_command('postgres')}`, and use postgresql+psycopg://."
        )
    if backend not in ("sqlite", "postgresql"):
        raise SearchError(
            f"--storage {shown}: {backend} is not supported. "
            "Give sqlite:///FILE, or postgresql+psycopg://USER@HOST/DATABASE."
        )
    return parsed


def _engine_options(url: URL) -> dict[str, object]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": _LOCK_SECONDS}}
    # A server that was restarted has closed the connections that are kept open to it.
    return {"pool_pre_ping": True}
