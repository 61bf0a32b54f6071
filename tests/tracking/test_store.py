import os
import socket
import subprocess
import sys
import time

import mlflow
import pytest
import sqlalchemy.exc
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipeline.core.errors import first_line
from pipeline.core.urls import sqlite_path
from pipeline.tracking.store import (
    configure_mlflow,
    local_store,
    open_store,
    tracking_uri,
    with_password,
)

OPEN_STORE = """
import sys
from pipeline.tracking.store import configure_mlflow, open_store

configure_mlflow()
client = open_store(sys.argv[1])
run = client.create_run("0", run_name=sys.argv[2])
client.log_metric(run.info.run_id, "value", 1.0)
"""


def test_without_a_setting_the_store_is_a_file_in_the_working_directory(tmp_path):
    assert tracking_uri() == f"sqlite:///{tmp_path / 'mlflow.db'}"


def test_a_relative_file_is_named_by_its_absolute_path(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///team/mlflow.db")
    assert tracking_uri() == f"sqlite:///{tmp_path / 'team' / 'mlflow.db'}"


@pytest.mark.parametrize("uri", ["http://127.0.0.1:5000", "postgresql://host/mlflow"])
def test_a_server_is_taken_as_the_user_named_it(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert tracking_uri() == uri


@pytest.mark.parametrize("name", ["job%41", "a%20b", "a?b", "a#b"])
def test_an_odd_working_directory_holds_its_database(tmp_path, monkeypatch, name):
    directory = tmp_path / name
    directory.mkdir()
    monkeypatch.chdir(directory)
    open_store(tracking_uri())
    assert sorted(path.name for path in directory.iterdir()) == ["mlflow.db", "mlflow.db.lock"]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with local_store(directory):
        assert sqlite_path(tracking_uri()) == directory / "mlflow.db"


STORED = "http://me:***@host:5000"


@pytest.mark.parametrize(
    ("stored", "environment", "found"),
    [
        ("http://host", {}, "http://host"),
        (STORED, {"URI": "http://me:s3cret@host:5000"}, "http://me:s3cret@host:5000"),
        (STORED, {"URI": "http://new:s3cret@host:5000"}, "http://new:s3cret@host:5000"),
        (STORED, {"USERNAME": "me", "PASSWORD": "s3cret"}, "http://host:5000"),
        ("http://***@host", {"TOKEN": "s3cret"}, "http://host"),
        ("postgresql://h/d?password=***", {"URI": "postgresql://h/d?password=x"}, None),
    ],
)
def test_the_password_is_taken_from_the_environment(stored, environment, found, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    assert with_password(stored) == (found or environment["URI"])


def test_a_database_may_take_its_password_from_libpq(monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    assert with_password("postgresql://me:***@host/db") == "postgresql://me@host/db"


@pytest.mark.parametrize("elsewhere", ["", "http://me:s3cret@other:5000", "http://host:5000"])
def test_a_password_that_is_missing_is_asked_for(elsewhere, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "of a database")
    if elsewhere:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", elsewhere)
    with pytest.raises(MlflowException, match="MLFLOW_TRACKING_USERNAME") as refusal:
        with_password(STORED)
    assert "s3cret" not in str(refusal.value)


def test_a_store_chosen_in_python_is_taken():
    mlflow.set_tracking_uri("http://127.0.0.1:5000")
    assert tracking_uri() == "http://127.0.0.1:5000"


def test_a_server_that_is_gone_is_given_up_soon_unless_the_user_is_patient(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    configure_mlflow()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"


def test_a_database_that_is_down_is_given_up_at_once():
    pytest.importorskip("psycopg")
    began = time.monotonic()
    with pytest.raises(sqlalchemy.exc.OperationalError, match="refused"):
        open_store("postgresql+psycopg://u:p@127.0.0.1:1/db")
    assert time.monotonic() - began < 10


def test_a_database_that_does_not_answer_is_given_up_in_seconds():
    pytest.importorskip("psycopg")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(sqlalchemy.exc.OperationalError, match="timeout"):
            open_store(f"postgresql+psycopg://u:p@127.0.0.1:{port}/db")
        assert time.monotonic() - began < 20


def test_the_directory_of_a_new_file_is_made(tmp_path):
    open_store(f"sqlite:///{tmp_path / 'team' / 'mlflow.db'}")
    assert (tmp_path / "team" / "mlflow.db").exists()


@pytest.mark.slow
def test_three_processes_may_open_one_new_file_at_once(tmp_path, repository):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_STORE, uri, f"run-{number}"],
            env={**os.environ, "PYTHONPATH": str(repository)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    runs = MlflowClient(tracking_uri=uri).search_runs(["0"])
    assert sorted(run.info.run_name for run in runs) == ["run-0", "run-1", "run-2"]
    assert [run.data.metrics for run in runs] == [{"value": 1.0}] * 3


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("first\nsecond"), "first"),
        (TimeoutError(), "TimeoutError"),
        (ValueError("x" * 400), "x" * 300),
        (ValueError("http://me:s3cret@host is gone"), "http://me:***@host is gone"),
    ],
)
def test_an_error_is_told_in_one_line(error, line):
    assert first_line(error) == line
