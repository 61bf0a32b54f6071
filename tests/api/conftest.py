"""A run of an earlier version, and a separate working directory with its own MLflow store."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest


@pytest.fixture
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Empty working directory with the default MLflow store."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(None)
    yield tmp_path
    mlflow.set_tracking_uri(None)


@pytest.fixture
def earlier_run(repository: Path, own_directory: Path) -> Path:
    """A writable copy of a finished run. Its features are generated in the working directory."""
    source = repository / "tests" / "golden" / "run_of_an_earlier_version" / "finished"
    return shutil.copytree(source, own_directory / "earlier")
