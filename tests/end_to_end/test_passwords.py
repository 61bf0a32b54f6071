"""A password in the URL of the store or of the storage reaches no file, output or MLflow run."""

import pytest

from pipeline.tracking.store import configure_mlflow
from tests.search.conftest import postgres_url
from tests.tracking.mlflow_server import Server

__all__ = ["postgres_url"]  # a fixture

pytestmark = pytest.mark.slow

SECRET = "s3cretpassw0rd"
SPACE = "name: small\nparameters:\n  fusion_dim: [8, 16]\n"


@pytest.fixture(scope="module")
def finished(run, start, features_dir, settings, postgres_url, tmp_path_factory):
    """Return the directory with all that was written, and the commands by name."""
    configure_mlflow()
    work, home = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("server")
    (work / "space.yaml").write_text(SPACE)
    server = Server(home)
    environment = {"MLFLOW_TRACKING_URI": server.uri.replace("://", f"://me:{SECRET}@")}
    quick = ("--features_dir", features_dir, "--training.num_epochs", 1, *settings)

    def call(*arguments, **changes):
        return run(*arguments, cwd=work, environment={**environment, **changes})

    def search(storage):
        return call(
            *("search", *quick, "--space", "space.yaml", "--num_trials", 1, "--num_workers", 1),
            *("--run_dir", "study", "--storage", storage),
        )

    storage = postgres_url.replace("postgres@", f"postgres:{SECRET}@")
    ended = {}
    server.start()
    try:
        ended["train"] = call("train", *quick, "--run_dir", "first")
        ended["search"] = search(storage)
        server.kill()
        ended["train without store"] = call("train", *quick, "--run_dir", "second")
        ended["sync without store"] = call("sync", "--run_dir", "second")
        ended["search without storage"] = search(f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/x")
        ended["search with a typing error"] = search(f"postgres//me:{SECRET}@127.0.0.1/x")
        server.start()
        ended["sync without password"] = call(
            "sync", "--run_dir", "second", MLFLOW_TRACKING_URI=server.uri
        )
        ended["sync"] = call(
            *("sync", "--run_dir", "second"),
            MLFLOW_TRACKING_URI=server.uri,
            MLFLOW_TRACKING_USERNAME="me",
            MLFLOW_TRACKING_PASSWORD=SECRET,
        )
    finally:
        server.kill()
    return (work, home), ended


def test_the_commands_end_as_they_do_without_a_password(finished):
    _, ended = finished
    statuses = {name: each.status for name, each in ended.items()}
    assert statuses == {
        "train": 0,
        "search": 0,
        "train without store": 3,
        "sync without store": 3,
        "search without storage": 2,
        "search with a typing error": 2,
        "sync without password": 3,
        "sync": 0,
    }, {name: each.err for name, each in ended.items()}


def test_no_output_shows_the_password(finished):
    _, ended = finished
    shown = [name for name, each in ended.items() if SECRET in each.out + each.err]
    assert shown == []


def test_no_file_holds_the_password(finished):
    directories, _ = finished
    files = [path for each in directories for path in each.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_sync_names_the_variables_that_are_missing(finished):
    _, ended = finished
    assert "MLFLOW_TRACKING_PASSWORD" in ended["sync without password"].err
    assert "me:***@127.0.0.1" in ended["sync without password"].err
