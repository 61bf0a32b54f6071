"""Fixtures that run commands in a separate directory, with a small feature set."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.schema import SyntheticConfig
from pipeline.core.run_directory import RunDirectory
from pipeline.data.synthetic import ensure_synthetic_set
from tests.end_to_end.command import Command, Result, in_process

SETTINGS = (
    *("--training.batch_size", "32", "--model.fusion_dim", "16", "--model.num_heads", "2"),
    *("--data.test_fraction", "0.2", "--evaluation.num_resamples", "100"),
    *("--evaluation.figures", "false", "--tracking.patience_seconds", "60"),
)
"""Options for a small model, no figures, and three subsets."""

TIMEOUT_SECONDS = 300

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Background jobs of a shell ignore SIGINT, and child processes would inherit this setting.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.end_to_end)


def clean_environment(repository: Path) -> dict[str, str]:
    """Return the environment without settings of libraries, and with this project on the path."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MLFLOW_", "PYTEST_", "KERAS_", "TF_"))
    }
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PYTHONPATH": str(repository), "PATH": binaries}


@pytest.fixture(scope="session")
def features_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A feature set of 240 clips in 40 groups, with 4 steps and a column `camera`."""
    path = tmp_path_factory.mktemp("data") / "features"
    settings = {"num_clips": 240, "num_steps": 4, "static_dim": 8, "dynamic_dim": 4}
    ensure_synthetic_set(path, SyntheticConfig(**settings))
    return path


@pytest.fixture
def features_copy(tmp_path: Path, features_dir: Path) -> Path:
    """A copy of the feature set that a test may change, in an otherwise empty directory."""
    return shutil.copytree(features_dir, tmp_path / "elsewhere" / "features")


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Working directory of the shared runs."""
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="session")
def start(repository: Path) -> Callable[..., subprocess.Popen[str]]:
    """Return a function that starts `python -m pipeline ...` in a directory."""

    def start_process(
        *arguments: object,
        cwd: Path,
        program: tuple[str, ...] = ("python", "-m", "pipeline"),
        **options: Any,
    ) -> subprocess.Popen[str]:
        environment = clean_environment(repository) | options.pop("environment", {})
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen(
            [*program, *map(str, arguments)], cwd=cwd, env=environment, text=True, **streams
        )

    return start_process


@pytest.fixture(scope="session")
def run(start: Callable[..., subprocess.Popen[str]]) -> Command:
    """Return a function that runs a command in a new process."""

    def run_process(*arguments: object, **options: object) -> Result:
        process = start(*arguments, **options)
        try:
            out, err = process.communicate(timeout=TIMEOUT_SECONDS)
        finally:
            process.kill()
        return Result(process.returncode, out, err)

    return run_process


@pytest.fixture
def run_here() -> Iterator[Command]:
    """Return a function that runs a command in this process."""
    with in_process() as run:
        yield run


@pytest.fixture(scope="session")
def settings() -> tuple[str, ...]:
    """The options of a small model."""
    return SETTINGS


@pytest.fixture(scope="session")
def trained(workspace: Path, features_dir: Path) -> Result:
    """The result of training two epochs. Run directory: `workspace/first`; model: `first.h5`."""
    options = ("--features_dir", features_dir, "--run_dir", "first", "--output", "first.h5")
    with in_process() as run:
        return run(
            *("train", *options, "--training.num_epochs", 2),
            *("--description", "first experiment", *SETTINGS),
            cwd=workspace,
        )


@pytest.fixture(scope="session")
def first(trained: Result, workspace: Path) -> Path:
    """The run directory of `trained`."""
    assert trained.status == 0, trained.err
    return workspace / "first"


@pytest.fixture(scope="session")
def visualized(features_dir: Path, workspace: Path) -> RunDirectory:
    """A run of three epochs with all figures and the report."""
    with in_process() as run:
        result = run(
            *("train", "--features_dir", features_dir, "--run_dir", "visualized"),
            *("--training.num_epochs", 3, "--training.batch_size", 32),
            *("--model.fusion_dim", 16, "--model.num_heads", 2),
            *("--evaluation.num_resamples", 100, "--tracking.patience_seconds", 60),
            cwd=workspace,
        )
    assert result.status == 0, result.err
    return RunDirectory(workspace / "visualized")
