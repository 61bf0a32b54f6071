"""Passwords in URLs of MLflow stores and search storages are not written or printed."""

import pytest

from pipeline.tracking.mlflow_settings import configure_mlflow
from tests.search.conftest import postgres_url
from tests.tracking.mlflow_server import Server

__all__ = ["postgres_url"]  # a fixture

pytestmark = pytest.mark.slow

SECRET = "s3cretpassw0rd"
SPACE = "name: small\nparameters:\n  fusion_dim: [8, 16]\n"


@pytest.fixture
def server(tmp_path):
    configure_mlflow()
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server")
    server.start()
    yield server
    server.kill()


def test_the_password_is_in_no_file_and_in_no_output(
    run,
    run_here,
    server,
    features_dir,
    settings,
    postgres_url,
    tmp_path,
    monkeypatch,
    caplog,
    capfd,
):
    work = tmp_path / "work"
    work.mkdir()
    (work / "space.yaml").write_text(SPACE)
    quick = (
        *("--features_dir", features_dir, "--training.num_epochs", 1, *settings),
        *("--model.fusion", "concat"),
    )
    outputs = []

    def call(*arguments, status):
        caplog.clear()
        result = run_here(*arguments, cwd=work)
        assert result.status == status, result
        outputs.append(result.out + result.err + caplog.text)

    def search(storage, *, status):
        call(
            *("search", *quick, "--space", "space.yaml", "--num_trials", 1, "--num_workers", 1),
            *("--run_dir", "study", "--storage", storage),
            status=status,
        )

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri.replace("://", f"://me:{SECRET}@"))
    call("train", *quick, "--run_dir", "first", status=0)
    search(postgres_url.replace("postgres@", f"postgres:{SECRET}@"), status=0)
    server.kill()
    call("train", *quick, "--run_dir", "second", status=3)
    call("sync", "--run_dir", "second", status=3)
    search(f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/x", status=2)
    search(f"postgres//me:{SECRET}@127.0.0.1/x", status=2)  # a typing error
    server.start()
    # The environment of this process contains the password, so new processes are necessary.
    credentials = {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": SECRET}
    incomplete, complete = (
        run("sync", "--run_dir", "second", cwd=work, environment=environment)
        for environment in (
            {"MLFLOW_TRACKING_URI": server.uri},
            {"MLFLOW_TRACKING_URI": server.uri, **credentials},
        )
    )
    line = incomplete.error_line(status=3)
    assert "MLFLOW_TRACKING_PASSWORD" in line
    assert "me:***@127.0.0.1" in line
    assert complete.status == 0, complete

    outputs += [incomplete.out, incomplete.err, complete.out, complete.err]
    assert SECRET not in "".join([*outputs, *capfd.readouterr()])
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
