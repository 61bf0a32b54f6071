"""Settings of MLflow in this process, and the address of the store.

The import of this module does not import MLflow, which takes a second.
"""

import logging
import os
import sys
from pathlib import Path

from pipeline.core.urls import absolute_url, sqlite_url


def configure_mlflow() -> None:
    """Reduce log messages and waiting times of MLflow. Environment variables of the user are kept.

    With the default settings of MLflow, one call to an unreachable server takes four minutes.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # The pipeline itself reports an unreachable store in one line. Without these levels, MLflow
    # would log a traceback for a locked database, and urllib3 would log a line per retry.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def hide_run_urls() -> None:
    """Stop MLflow from printing a URL at the end of each run."""
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


def tracking_uri() -> str:
    """Return the user's tracking URI. The default is the file `mlflow.db` in the working directory.

    The path of a SQLite file is made absolute, so that `sync` works in every directory.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if "mlflow" in sys.modules:  # otherwise nobody can have called `mlflow.set_tracking_uri`
        import mlflow

        uri = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    return absolute_url(uri) if uri else sqlite_url(Path("mlflow.db"))


def store_environment() -> dict[str, str]:
    """Return the environment variables with the address and the credentials of the store."""
    return {name: os.environ[name] for name in os.environ if name.startswith("MLFLOW_TRACKING_")}
