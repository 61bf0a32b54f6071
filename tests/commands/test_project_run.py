"""Commands that `mlflow run` starts."""

import argparse
import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from pipeline.commands.project_run import enter_caller_directory, record_result


@pytest.fixture
def caller(tmp_path):
    path = tmp_path / "caller"
    path.mkdir()
    return path


@pytest.fixture
def copy(tmp_path, caller, monkeypatch):
    """Working directory below `mlflow run GIT_URI`, typed in the directory `caller`."""
    path = tmp_path / "copy"
    path.mkdir()
    (path / "MLproject").touch()
    monkeypatch.chdir(path)
    monkeypatch.setenv("MLFLOW_RUN_ID", "abc")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    parents = [
        SimpleNamespace(name=lambda: "bash", cwd=lambda: str(path)),
        SimpleNamespace(name=lambda: "mlflow", cwd=lambda: str(caller)),
    ]
    monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(parents=lambda: parents))
    return path


def test_relative_paths_of_a_copied_project_are_those_of_the_caller(copy, caller):
    enter_caller_directory(argparse.Namespace())
    assert Path.cwd() == caller


def test_a_configuration_that_exists_only_in_the_copy_is_found(copy, caller):
    for path in (copy / "theirs.yaml", copy / "both.yaml", caller / "both.yaml"):
        path.touch()
    arguments = argparse.Namespace(config=Path("theirs.yaml"), space=Path("both.yaml"))
    enter_caller_directory(arguments)
    assert arguments.config == copy / "theirs.yaml"
    assert arguments.space.resolve() == caller / "both.yaml"


@pytest.mark.parametrize("change", ["no mlflow run", "project on this machine"])
def test_the_directory_stays_without_a_copied_project(copy, tmp_path, monkeypatch, change):
    if change == "no mlflow run":
        monkeypatch.delenv("MLFLOW_RUN_ID")
    else:
        monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "elsewhere"))
    enter_caller_directory(argparse.Namespace())
    assert Path.cwd() == copy


def test_without_mlflow_run_there_is_no_run_to_fill(monkeypatch):
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.setattr("pipeline.tracking.project_run.fill_run", None)  # a call would fail
    record_result("evaluate demo", "text")
    assert "MLFLOW_RUN_ID" not in os.environ
