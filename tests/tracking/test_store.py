import os
import socket
import subprocess
import sys
import threading
import time

import pytest
import sqlalchemy.exc
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipeline.core.urls import sqlite_path
from pipeline.tracking.mlflow_settings import tracking_uri
from pipeline.tracking.store import call_within, local_store, open_store, with_password

OPEN_STORE = """
import sys
from pipeline.tracking.mlflow_settings import configure_mlflow
from pipeline.tracking.store import open_store

configure_mlflow()
client = open_store(sys.argv[1])
run = client.create_run("0", run_name=sys.argv[2])
client.log_metric(run.info.run_id, "value", 1.0)
"""


@pytest.mark.parametrize("name", ["job%41", "a%20b", "a?b", "a#b"])
def test_the_database_is_in_a_working_directory_with_special_characters(
    tmp_path, monkeypatch, name
):
    directory = tmp_path / name
    directory.mkdir()
    monkeypatch.chdir(directory)
    open_store(tracking_uri())
    assert sorted(path.name for path in directory.iterdir()) == ["mlflow.db", "mlflow.db.lock"]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with local_store(directory):
        assert sqlite_path(tracking_uri()) == directory / "mlflow.db"


def test_a_local_store_does_not_use_the_run_of_mlflow_run(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0123")
    with local_store(tmp_path):
        assert "MLFLOW_RUN_ID" not in os.environ
    assert os.environ["MLFLOW_RUN_ID"] == "0123"


STORED = "http://me:***@host:5000"
PREFIX = "MLFLOW_TRACKING_"


@pytest.mark.parametrize(
    ("stored", "environment", "expected"),
    [
        ("http://host", {}, "http://host"),
        (STORED, {f"{PREFIX}URI": "http://me:s3cret@host:5000"}, "http://me:s3cret@host:5000"),
        (STORED, {f"{PREFIX}URI": "http://new:s3cret@host:5000"}, "http://new:s3cret@host:5000"),
        (STORED, {f"{PREFIX}USERNAME": "me", f"{PREFIX}PASSWORD": "s3cret"}, "http://host:5000"),
        ("http://***@host", {f"{PREFIX}TOKEN": "s3cret"}, "http://host"),
        (
            "postgresql://h/d?password=***",
            {f"{PREFIX}URI": "postgresql://h/d?password=x"},
            "postgresql://h/d?password=x",
        ),
        ("postgresql://me:***@host/db", {"PGPASSWORD": "s3cret"}, "postgresql://me@host/db"),
    ],
)
def test_the_password_comes_from_the_environment(stored, environment, expected, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert with_password(stored) == expected


@pytest.mark.parametrize("uri", ["", "http://me:s3cret@other:5000", "http://host:5000"])
def test_a_missing_password_is_an_error(uri, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "for a database")
    if uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(MlflowException, match="MLFLOW_TRACKING_USERNAME") as error:
        with_password(STORED)
    assert "s3cret" not in str(error.value)


def test_a_database_that_is_down_is_an_error_within_seconds():
    pytest.importorskip("psycopg")
    began = time.monotonic()
    with pytest.raises(sqlalchemy.exc.OperationalError, match="refused"):
        open_store("postgresql+psycopg://u:p@127.0.0.1:1/db")
    assert time.monotonic() - began < 10


def test_a_database_that_hangs_is_an_error_within_seconds():
    pytest.importorskip("psycopg")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(sqlalchemy.exc.OperationalError, match="timeout"):
            open_store(f"postgresql+psycopg://u:p@127.0.0.1:{port}/db")
        assert time.monotonic() - began < 20


def test_the_directory_of_a_new_database_is_created(tmp_path):
    open_store(f"sqlite:///{tmp_path / 'team' / 'mlflow.db'}")
    assert (tmp_path / "team" / "mlflow.db").exists()


@pytest.mark.slow
def test_three_processes_can_open_one_new_database(tmp_path, repository):
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


@pytest.mark.parametrize("value", [1, None])
def test_a_limited_call_returns_its_result(value):
    assert call_within(60, lambda: value) is value


def test_a_limited_call_raises_its_error():
    with pytest.raises(ZeroDivisionError):
        call_within(None, lambda: 1 / 0)


def test_a_call_beyond_its_limit_is_an_error():
    released = threading.Event()
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        call_within(0.1, lambda: released.wait(60))
    assert time.monotonic() - began < 10
    released.set()
