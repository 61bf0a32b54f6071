"""A run of an earlier version."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def earlier_run(repository: Path, own_directory: Path) -> Path:
    """A writable copy of a finished run. Its features are generated in the working directory."""
    source = repository / "tests" / "golden" / "run_of_an_earlier_version" / "finished"
    return shutil.copytree(source, own_directory / "earlier")
