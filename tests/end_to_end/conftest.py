"""The commands as a user runs them: in a directory of their own, on a small feature set."""

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
from tests.end_to_end.command import Command, Finished, pipeline_here

SETTINGS = (
    *("--training.batch_size", "32", "--model.fusion_dim", "16", "--model.num_heads", "2"),
    *("--data.test_fraction", "0.2", "--evaluation.num_resamples", "100"),
    *("--evaluation.figures", "false", "--tracking.patience_seconds", "60"),
)
"""A small model, and a split with all three sides."""

TIMEOUT_SECONDS = 300

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a background job of a script: what is started here would be deaf to Ctrl-C too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.end_to_end)


def clean_environment(repository: Path) -> dict[str, str]:
    """The environment of a user who has set nothing, with this project on the path."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MLFLOW_", "PYTEST_", "KERAS_", "TF_"))
    }
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PYTHONPATH": str(repository), "PATH": binaries}


@pytest.fixture(scope="session")
def features_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 clips of 40 groups, in steps, with a column `camera`."""
    path = tmp_path_factory.mktemp("data") / "features"
    settings = {"num_clips": 240, "num_steps": 4, "static_dim": 8, "dynamic_dim": 4}
    ensure_synthetic_set(path, SyntheticConfig(**settings))
    return path


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of the runs that several tests look at."""
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="session")
def start(repository: Path) -> Callable[..., subprocess.Popen[str]]:
    """Return a function that starts `python -m pipeline ...` in a directory."""

    def begin(
        *arguments: object,
        cwd: Path,
        program: tuple[str, ...] = ("python", "-m", "pipeline"),
        **others: Any,
    ) -> subprocess.Popen[str]:
        environment = clean_environment(repository) | others.pop("environment", {})
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | others
        return subprocess.Popen(
            [*program, *map(str, arguments)], cwd=cwd, env=environment, text=True, **streams
        )

    return begin


@pytest.fixture(scope="session")
def run(start: Callable[..., subprocess.Popen[str]]) -> Command:
    """Return a function that runs a command in a process of its own."""

    def finish(*arguments: object, **where: object) -> Finished:
        process = start(*arguments, **where)
        try:
            out, err = process.communicate(timeout=TIMEOUT_SECONDS)
        finally:
            process.kill()
        return Finished(process.returncode, out, err)

    return finish


@pytest.fixture
def run_here() -> Iterator[Command]:
    """Return a function that runs a command in this process."""
    with pipeline_here() as run:
        yield run


@pytest.fixture(scope="session")
def trained(workspace: Path, features_dir: Path) -> Finished:
    """A run of two epochs in `workspace/first`, its model besides in `first.h5`."""
    options = ("--features_dir", features_dir, "--run_dir", "first", "--output", "first.h5")
    with pipeline_here() as run:
        return run(
            *("train", *options, "--training.num_epochs", 2),
            *("--description", "what it is for", *SETTINGS),
            cwd=workspace,
        )


@pytest.fixture(scope="session")
def first(trained: Finished, workspace: Path) -> Path:
    """The run directory of `trained`."""
    assert trained.status == 0, trained.err
    return workspace / "first"


@pytest.fixture(scope="session")
def settings() -> tuple[str, ...]:
    """The settings of `trained`, as options."""
    return SETTINGS


@pytest.fixture
def broken(tmp_path: Path, features_dir: Path) -> Path:
    """A copy of the feature set, to break; nothing is in the directory around it."""
    path = tmp_path / "elsewhere" / "features"
    shutil.copytree(features_dir, path)
    return path


@pytest.fixture(scope="session")
def illustrated(features_dir: Path, workspace: Path) -> RunDirectory:
    """A run of three epochs with all its figures and its report."""
    with pipeline_here() as run:
        finished = run(
            *("train", "--features_dir", features_dir, "--run_dir", "illustrated"),
            *("--training.num_epochs", 3, "--training.batch_size", 32),
            *("--model.fusion_dim", 16, "--model.num_heads", 2),
            *("--evaluation.num_resamples", 100),
            cwd=workspace,
        )
    assert finished.status == 0, finished.err
    return RunDirectory(workspace / "illustrated")
