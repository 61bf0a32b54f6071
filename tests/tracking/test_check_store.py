import http.server
import sys
import threading
import time

import pytest

from pipeline.core.errors import RunError
from pipeline.tracking.check_store import check_store


@pytest.fixture
def store(store_uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    return store_uri


@pytest.fixture
def serve(monkeypatch):
    """A function that starts a web server that returns the same answer to all requests."""
    servers = []

    def start(status, body=b"", *, pause_seconds=0.0):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                time.sleep(pause_seconds)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("uri", "fix"),
    [
        ("localhost:5000", "Write http://localhost:5000."),
        ("127.0.0.1:5000", "Write http://127.0.0.1:5000."),
        ("htp://localhost:5000", "Write http://localhost:5000."),
        ("http:/localhost:5000", "Check the address"),
        ("postgres://me@host/x", "Write postgresql://me@host/x."),
        ("postgresql+nodriver://me@host/x", "Write for instance postgresql+psycopg://"),
        ("./mlruns", "for instance sqlite:///mlflow.db"),
        ("file:///tmp/mlruns", "for instance sqlite:///mlflow.db"),
    ],
)
def test_a_wrong_address_is_an_error_with_the_fix(uri, fix, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(RunError) as error:
        check_store("ocean")
    assert f"MLFLOW_TRACKING_URI={uri}" in str(error.value)
    assert fix in str(error.value)


def test_a_missing_driver_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymysql", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mysql+pymysql://me:s3cret@127.0.0.1/mlflow")
    with pytest.raises(RunError, match="Install the driver") as error:
        check_store("ocean")
    assert "s3cret" not in str(error.value)


def test_a_usable_store_is_accepted(store, client, monkeypatch):
    check_store("new")
    client.create_experiment("old")
    check_store("old")
    monkeypatch.setenv("MLFLOW_RUN_ID", client.create_run("0").info.run_id)
    check_store("ocean")


def test_a_new_database_is_accepted_and_not_created(tmp_path):
    check_store("ocean")
    assert list(tmp_path.iterdir()) == []


def test_a_deleted_experiment_is_an_error(store, client, monkeypatch):
    experiment_id = client.create_experiment("ocean")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment_id)
    check_store("another")
    client.delete_experiment(experiment_id)
    restore = f"'ocean' is deleted.*mlflow experiments restore --experiment-id {experiment_id}"
    with pytest.raises(RunError, match=restore):
        check_store("another")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    with pytest.raises(RunError, match=restore):
        check_store("ocean")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "999")
    with pytest.raises(RunError, match="Set another MLFLOW_EXPERIMENT_ID, or unset it"):
        check_store("ocean")


@pytest.mark.parametrize(
    ("change", "problem"),
    [("", "does not exist"), ("delete_run", "is deleted"), ("set_terminated", "is FINISHED")],
)
def test_an_old_run_id_is_an_error(change, problem, store, client, monkeypatch):
    run_id = "0" * 32
    if change:
        run_id = client.create_run("0").info.run_id
        getattr(client, change)(run_id)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    with pytest.raises(RunError, match=f"this MLflow run {problem}.*unset it"):
        check_store("ocean")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_is_not_mlflow_or_needs_a_password_is_an_error(status, serve):
    serve(status)
    with pytest.raises(RunError, match="Check the address, and the user name"):
        check_store("ocean")


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_error_is_accepted(status, serve):
    serve(status)
    check_store("ocean")


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "postgresql+psycopg://u:p@127.0.0.1:1/db"])
def test_a_store_that_is_down_is_accepted_within_seconds(uri, monkeypatch):
    pytest.importorskip("psycopg")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    began = time.monotonic()
    check_store("ocean")
    assert time.monotonic() - began < 10


def test_a_server_that_hangs_is_accepted_within_seconds(serve, monkeypatch):
    monkeypatch.setattr("pipeline.tracking.check_store._SECONDS", 0.2)
    serve(200, b"{}", pause_seconds=40)
    began = time.monotonic()
    check_store("ocean")
    assert time.monotonic() - began < 20
