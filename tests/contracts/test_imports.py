"""Help is fast, imports follow the layers, and each package has a layer and tests."""

import os
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pipeline.cli import COMMANDS

LARGE = {"tensorflow", "keras", "mlflow", "matplotlib", "pandas", "optuna", "plotly", "cv2", "av"}


def imported_by(repository, *arguments, status=0):
    """Run Python; return the imported top-level packages and the CPU time in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    finished = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert finished.returncode == status, finished.stderr
    names = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in finished.stderr.splitlines()
        if line.startswith("import time:")
    }
    return names, (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


@pytest.mark.parametrize(
    "arguments",
    [
        ("-c", "import pipeline; dir(pipeline); pipeline.__all__"),
        ("-m", "pipeline", "--help"),
        *(("-m", "pipeline", name, "--help") for name in COMMANDS),
    ],
    ids=" ".join,
)
def test_help_imports_no_large_package(repository, arguments):
    names, seconds = imported_by(repository, *arguments)
    assert "pipeline" in names
    assert names.isdisjoint(LARGE)
    # This is CPU time, which does not depend on other processes.
    assert seconds < 0.5


def test_the_main_process_of_a_search_imports_no_tensorflow(repository):
    names, _ = imported_by(repository, "-c", "import pipeline.search.run")
    assert {"optuna", "mlflow"} <= names
    assert names.isdisjoint({"tensorflow", "keras", "plotly"})


@pytest.mark.parametrize("workflow", ["train", "predict"])
def test_a_workflow_imports_mlflow_only_when_it_uses_mlflow(workflow, repository):
    names, _ = imported_by(repository, "-c", f"import pipeline.workflows.{workflow}")
    assert "keras" in names
    assert "mlflow" not in names


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--features_dir", "nowhere"),
        ("train", "--features_dir", "nowhere", "--output", "model.pkl"),
        ("train", "--resume", "nowhere"),
        ("evaluate", "--run_dir", "nowhere"),
        ("predict", "--run_dir", "nowhere", "--features_dir", "nowhere"),
        ("sync", "--run_dir", "nowhere"),
    ],
    ids=" ".join,
)
def test_a_wrong_path_is_an_error_before_tensorflow_is_imported(repository, arguments):
    names, _ = imported_by(repository, "-m", "pipeline", *arguments, status=2)
    assert names.isdisjoint({"tensorflow", "keras"})


@pytest.mark.slow
def test_each_public_name_exists():
    import pipeline

    assert [name for name in pipeline.__all__ if not hasattr(pipeline, name)] == []
    assert not hasattr(pipeline, "Trainer")


def test_imports_follow_the_layers(repository):
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_each_package_has_a_layer_and_a_folder_of_tests(repository):
    settings = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = (
        contract["layers"]
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    placed = {name.strip() for layer in layers for name in layer.replace(":", "|").split("|")}
    packages = {path.parent.name for path in repository.glob("pipeline/*/__init__.py")}
    assert {f"pipeline.{name}" for name in packages} <= placed
    assert packages <= {path.parent.name for path in (repository / "tests").glob("*/test_*.py")}
