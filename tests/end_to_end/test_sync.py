"""A store that is gone costs a run nothing; `sync` delivers what it missed."""

import json
import signal
import socket
import time

import pytest
from mlflow import MlflowClient

from pipeline.core.run_log import FINISHED, read_events

pytestmark = pytest.mark.slow


@pytest.fixture
def gone(tmp_path):
    """A store whose directory cannot be opened, as a file is in its place."""
    (tmp_path / "team").write_text("")
    return tmp_path / "team"


@pytest.fixture
def train_without_store(run_here, tmp_path, features_dir, settings, gone, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{gone / 'mlflow.db'}")

    def train(*options):
        return run_here(
            *("train", "--features_dir", features_dir, "--run_dir", "run"),
            *("--training.num_epochs", 1, "--model.fusion", "concat", *settings, *options),
            *("--evaluation.figures", "false"),
            cwd=tmp_path,
        )

    return train


def test_a_run_that_the_store_never_saw_is_whole_and_is_delivered_by_sync(
    train_without_store, run_here, tmp_path, gone, caplog
):
    trained = train_without_store()
    assert trained.status == 3  # done, but for what MLflow was to have
    assert "95 % intervals" in trained.out
    assert f"python -m pipeline sync --run_dir {tmp_path / 'run'}" in caplog.text
    assert (tmp_path / "run" / "model.keras").exists()

    still_gone = run_here("sync", "--run_dir", "run", cwd=tmp_path)
    assert still_gone.status == 3
    (line,) = still_gone.err.splitlines()
    assert "MLflow does not have all of the run yet" in line

    gone.unlink()
    delivered = run_here("sync", "--run_dir", "run", cwd=tmp_path)
    assert (delivered.status, delivered.err) == (0, "")
    run_id = json.loads((tmp_path / "run" / "mlflow.json").read_text())["run_id"]
    assert run_id in delivered.out
    client = MlflowClient(tracking_uri=f"sqlite:///{gone / 'mlflow.db'}")
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert [point.step for point in client.get_metric_history(run_id, "validation/loss")] == [1]
    assert [point.step for point in client.get_metric_history(run_id, "batch/loss")] == [
        *range(1, 6)
    ]
    assert run.data.params["config.model.fusion"] == "concat"
    assert len(run.inputs.dataset_inputs) == 3
    assert len(run.outputs.model_outputs) == 1
    assert {each.path for each in client.list_artifacts(run_id)} >= {"config.yaml", "predictions"}


def test_syncing_what_mlflow_has_changes_nothing(run_here, first, workspace):
    before = (first / "mlflow.json").read_bytes()
    finished = run_here("sync", "--run_dir", first, cwd=workspace)
    assert finished.status == 0
    assert (first / "mlflow.json").read_bytes() == before


def test_a_run_whose_loss_is_no_number_fails_and_says_where(
    run_here, tmp_path, features_dir, settings
):
    finished = run_here(
        *("train", "--features_dir", features_dir, "--run_dir", "run"),
        *("--training.num_epochs", 3, "--training.learning_rate", "1e30"),
        *("--training.schedule", "constant", "--training.gradient_clip_norm", 0),
        *("--training.optimizer", "adam", "--training.loss", "mse", *settings),
        cwd=tmp_path,
    )
    assert finished.status == 2
    (line,) = finished.err.splitlines()
    assert "epoch" in line
    assert "Lower training.learning_rate" in line
    run_id = json.loads((tmp_path / "run" / "mlflow.json").read_text())["run_id"]
    run = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}").get_run(run_id)
    assert run.info.status == "FAILED"
    assert f"error: {run.data.tags['failure']}" == line


def test_a_signal_while_mlflow_is_waited_for_ends_a_finished_run_at_once(
    start, tmp_path, features_dir, settings
):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and never answers
        process = start(
            *("train", "--features_dir", features_dir, "--run_dir", "run", *settings),
            *("--training.num_epochs", 1, "--model.fusion", "concat"),
            cwd=tmp_path,
            environment={"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{silent.getsockname()[1]}"},
        )
        deadline = time.monotonic() + 240
        run_log = tmp_path / "run" / "events.jsonl"
        while not any(event.kind == FINISHED for event in read_events(run_log)):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 8
    assert process.returncode in {130, 143}
    assert f"python -m pipeline sync --run_dir {tmp_path / 'run'}" in err
    assert "--resume" not in err


def test_a_deleted_experiment_is_refused_before_training(
    run_here, tmp_path, features_dir, settings
):
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    client.delete_experiment(client.create_experiment("ocean"))
    refused = run_here(
        *("train", "--features_dir", features_dir, "--run_dir", "run", *settings), cwd=tmp_path
    )
    assert refused.status == 2
    (line,) = refused.err.splitlines()
    assert "mlflow experiments restore" in line
    assert not (tmp_path / "run").exists()
