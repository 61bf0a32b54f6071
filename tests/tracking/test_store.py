import os
import socket
import subprocess
import sys
import time

import mlflow
import pytest
import sqlalchemy.exc
from mlflow import MlflowClient

from pipeline.tracking.store import configure_mlflow, one_line, open_store, tracking_uri

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
    ],
)
def test_an_error_is_told_in_one_line(error, line):
    assert one_line(error) == line
