"""Asking for help costs nothing, and imports go one way."""

import os
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pipeline.cli import COMMANDS

HEAVY = (
    "tensorflow",
    "keras",
    "mlflow",
    "matplotlib",
    "pandas",
    "optuna",
    "plotly",
    "sklearn",
    "scipy",
    "cv2",
    "av",
)


def imported_by(repository, *arguments, status=0):
    """Run Python; return the top-level packages that it imported, and its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    finished = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=60,
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
        ("-c", "import pipeline"),
        ("-m", "pipeline", "--help"),
        *(("-m", "pipeline", name, "--help") for name in COMMANDS),
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_loaded_for_it(repository, arguments):
    names, seconds = imported_by(repository, *arguments)
    assert "pipeline" in names
    assert names.isdisjoint(HEAVY)
    # Time on the processor: a busy machine makes a process wait, not work.
    assert seconds < 0.5


def test_what_leads_a_search_imports_no_tensorflow(repository):
    names, _ = imported_by(repository, "-c", "import pipeline.search.run")
    assert {"optuna", "mlflow"} <= names
    assert names.isdisjoint({"tensorflow", "keras", "plotly"})


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
def test_a_wrong_path_is_refused_before_tensorflow_is_loaded(repository, arguments):
    names, _ = imported_by(repository, "-m", "pipeline", *arguments, status=2)
    assert names.isdisjoint({"tensorflow", "keras"})


def test_every_public_name_can_be_listed_without_loading_what_it_needs(repository):
    names, _ = imported_by(repository, "-c", "import pipeline; dir(pipeline); pipeline.__all__")
    assert names.isdisjoint(HEAVY)


def test_an_unknown_public_name_is_an_attribute_error():
    import pipeline

    with pytest.raises(AttributeError, match="no attribute 'Trainer'"):
        pipeline.Trainer  # noqa: B018


@pytest.mark.slow
def test_every_public_name_is_there():
    import pipeline

    assert [name for name in pipeline.__all__ if not hasattr(pipeline, name)] == []


def test_imports_go_one_way(repository):
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_every_package_has_its_layer(repository):
    settings = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = (
        contract["layers"]
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    placed = {name.strip() for layer in layers for name in layer.replace(":", "|").split("|")}
    packages = {
        f"pipeline.{path.parent.name}" for path in repository.glob("pipeline/*/__init__.py")
    }
    assert packages - placed == set()
