"""Commands that a user can type, depending on how this project is installed and was started."""

import os
import shlex
import sys
from pathlib import Path
from typing import Final

from pipeline.core.urls import HIDDEN, sqlite_url

SCRIPT: Final = "ocean-pipeline"
"""Name of the project on package indexes, and of the installed command."""


def clone_dir() -> Path | None:
    """Return the root directory of the clone that contains this code; None if it is installed."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() else None


def install_command(*extras: str) -> str:
    """Return the command that installs optional dependencies of this project."""
    names = ",".join(extras)
    root = clone_dir()
    if root is None:
        return f"pip install '{SCRIPT}[{names}]'"
    return f"pip install -e '{'.' if root == Path.cwd() else root}[{names}]'"


def activation_command() -> str:
    """Return the command that activates the virtual environment of this program, or "".

    The result is empty without a virtual environment, or if it is active.
    """
    script = Path(sys.prefix) / "bin" / "activate"
    if sys.prefix == sys.base_prefix or os.environ.get("VIRTUAL_ENV") or not script.is_file():
        return ""
    here = Path.cwd()
    return f". {shlex.quote(str(script.relative_to(here) if here in script.parents else script))}"


def program() -> str:
    """Return the words that start this program: the installed command, or `python -m pipeline`."""
    return SCRIPT if Path(sys.argv[0]).stem == SCRIPT else "python -m pipeline"


def ui_command(store_uri: str) -> str:
    """Return the command or the URL that shows an MLflow store in the browser."""
    if store_uri.startswith(("http://", "https://")):
        return store_uri
    here = Path.cwd()
    if store_uri == sqlite_url(here / "mlflow.db"):
        if clone_dir() == here:
            return "make ui"
        store_uri = "sqlite:///mlflow.db"
    if HIDDEN in store_uri:
        store_uri = "$MLFLOW_TRACKING_URI"
    return f'mlflow ui --backend-store-uri "{store_uri}"'
