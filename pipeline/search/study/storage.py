"""Open the Optuna storage of a search, and create or continue a study."""

import contextlib
import importlib.util
import platform
import uuid
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import optuna
import sqlalchemy
import sqlalchemy.exc
import sqlalchemy.pool
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.engine import URL, make_url

from pipeline.config.loading import flatten
from pipeline.core.errors import SearchError
from pipeline.core.files import write_text
from pipeline.core.installation import install_command
from pipeline.core.urls import hide_passwords, sqlite_path
from pipeline.search.space.space import describe_difference
from pipeline.search.study.retries import IS_DEFAULT, Retry
from pipeline.search.study_spec import StudySpec

STORAGE_ERRORS = (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError)
"""Errors that Optuna raises if the storage is unreachable."""

_GRACE_HEARTBEATS = 3
"""Number of missing heartbeats after which Optuna marks a trial as failed."""
_LOCK_SECONDS = 60.0
"""Maximum time that SQLite waits while other processes write to the same file."""
_EXAMPLES = "sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"

_DEFINITION = "definition"
_SPACE = "space"
_MAIN_TOKEN = "home"  # noqa: S105 (no password)
_MAIN_PLACE = "place"
_FREE = (
    "search.max_retries",
    "search.refit",
    "search.alias",
    "search.try_default",
    "name",
    "description",
    "tracking.",
    "data.features_dir",
    "data.static_features",
    "data.dynamic_features",
    "data.labels",
    "data.clips",
    "evaluation.",
)
"""Settings and sections that may differ between two `search` commands for the same study."""


def open_storage(spec: StudySpec) -> RDBStorage:
    """Open the storage of a study. Create the database tables if they are missing.

    Raises:
        SearchError: If the URL is invalid or the database is unreachable.
    """
    url = _parsed(spec.storage_url)
    settings = spec.config.search
    # A server restart closes connections, so each connection is tested before it is used.
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.get_backend_name() == "sqlite":
        options = {"connect_args": {"timeout": _LOCK_SECONDS}}
    try:
        with creation_lock(spec.storage_url, "tables"):
            return RDBStorage(
                spec.storage_url,
                engine_kwargs=options,
                heartbeat_interval=settings.heartbeat_seconds,
                grace_period=_GRACE_HEARTBEATS * settings.heartbeat_seconds,
                heartbeat_stale_trial_callback=Retry(max_retries=settings.max_retries),
            )
    except STORAGE_ERRORS as error:
        raise _cannot_open(url, error) from error


@contextlib.contextmanager
def creation_lock(url: str, name: str) -> Iterator[None]:
    """Hold a lock: other processes and machines cannot create tables or studies at the same time.

    Blocks with the same `name` wait for each other.

    Raises:
        SearchError: If the database is unreachable.
    """
    parsed = _parsed(url)
    if path := sqlite_path(url):
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_name(f"{path.name}.{name}.lock")):
            yield
        return
    engine = sqlalchemy.create_engine(parsed, poolclass=sqlalchemy.pool.NullPool)
    try:
        connection = engine.connect()
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise _cannot_open(parsed, error) from error
    with connection:  # the lock ends with the connection, also if the process is killed
        key = zlib.crc32(f"ocean-pipeline {name}".encode())
        connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_lock(key)))
        yield


def open_study(spec: StudySpec, *, features_hash: str) -> optuna.Study:
    """Create a study, or open an existing study.

    Raises:
        SearchError: If the existing study has a search space, settings or features that differ
            from the given ones, if another program created it, or if the run directory contains
            trials of another study.
    """
    with creation_lock(spec.storage_url, "study"):
        storage = open_storage(spec)
        is_new = spec.study_name not in optuna.get_all_study_names(storage)
        if is_new and any(spec.run.trials_dir.glob("*")):  # new trials would overwrite these
            raise SearchError(
                f"{spec.study_dir}: contains trials of another study than {spec.study_name!r}, or "
                "their storage was deleted. Give another --run_dir, or the --study and "
                "--storage of these trials."
            )
        study = optuna.create_study(
            study_name=spec.study_name,
            storage=storage,
            directions=spec.directions,
            load_if_exists=True,
        )
        definition = {
            name: value
            for name, value in flatten(spec.config).items()
            if not name.startswith(_FREE)
        }
        definition["features"] = features_hash
        if _DEFINITION in study.user_attrs:
            _check_same(spec, study, definition)
        elif any(trial.state != TrialState.WAITING for trial in study.get_trials(deepcopy=False)):
            raise SearchError(
                f"another program has already created a study {spec.study_name} in this storage. "
                "Give another --study."
            )
        else:
            _define(spec, study, definition)
        return study


def is_main_process(spec: StudySpec, study: optuna.Study) -> bool:
    """Return True if the study was created in this run directory.

    A token identifies the directory, because the path can change.
    """
    return bool(study.user_attrs.get(_MAIN_TOKEN) == directory_token(spec))


def directory_token(spec: StudySpec) -> str:
    """Return the token of this run directory. Create the token if it is missing."""
    path: Path = spec.run.search_dir / "token.txt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, uuid.uuid4().hex)
    return path.read_text(encoding="utf-8")


def main_process_place(study: optuna.Study) -> str:
    """Return the directory and machine of the main process."""
    return str(study.user_attrs.get(_MAIN_PLACE, "unknown"))


def _define(spec: StudySpec, study: optuna.Study, definition: Mapping[str, Any]) -> None:
    study.set_user_attr(_SPACE, spec.space.to_json())
    study.set_user_attr(_MAIN_TOKEN, directory_token(spec))
    study.set_user_attr(_MAIN_PLACE, f"{spec.study_dir} on {platform.node()}")
    params = spec.space.encode(spec.space.defaults())
    if spec.config.search.try_default and params is not None:
        study.enqueue_trial(params, user_attrs={IS_DEFAULT: True})
    # The definition is written last. If it is missing, the creation was interrupted.
    study.set_user_attr(_DEFINITION, dict(definition))


def _check_same(spec: StudySpec, study: optuna.Study, definition: Mapping[str, Any]) -> None:
    before = study.user_attrs[_DEFINITION]
    differences = describe_difference(study.user_attrs[_SPACE], spec.space.to_json())
    for name in sorted({*before, *definition}):
        if before.get(name) != definition.get(name):
            differences.append(f"{name}: {before.get(name)!r}, now {definition.get(name)!r}")
    if differences:
        raise SearchError(
            f"the study {spec.study_name} already exists with other settings: "
            f"{'; '.join(differences)}. Give another --study, or the settings of the study."
        )


def _cannot_open(url: URL, error: Exception) -> SearchError:
    shown = hide_passwords(url.render_as_string(hide_password=False))
    reason = hide_passwords(str(error)).strip().splitlines()[0]
    return SearchError(
        f"{shown}: the storage cannot be opened ({reason}). "
        "Check that the database exists and that this user may create tables in it."
    )


def _parsed(url: str) -> URL:
    where = f"--storage {hide_passwords(url)}"
    try:
        parsed = make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # ValueError: the port is not a number
        raise SearchError(f"{where}: is not a database URL. Give {_EXAMPLES}.") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite" and sqlite_path(url) is None:
        raise SearchError(
            f"{where}: several workers cannot share a database in memory. "
            "Give a file: sqlite:///FILE."
        )
    driver = {"postgresql+psycopg": "psycopg", "postgresql": "psycopg2"}.get(parsed.drivername)
    if driver and importlib.util.find_spec(driver) is None:
        raise SearchError(
            f"{where}: needs {driver}, which is not installed. Run "
            f"`{install_command('postgres')}`, and use postgresql+psycopg://."
        )
    if backend not in ("sqlite", "postgresql"):
        raise SearchError(f"{where}: {backend} is not supported. Give {_EXAMPLES}.")
    return parsed
