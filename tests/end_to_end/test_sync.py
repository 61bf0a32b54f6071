"""A run without an MLflow store is complete, and `sync` sends it to MLflow later."""

import json

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.slow


def test_a_run_without_a_store_is_complete_and_sync_delivers_it(
    run_here, features_dir, settings, tmp_path, monkeypatch, caplog
):
    blocker = tmp_path / "team"
    blocker.write_text("")  # a file at the path of the directory of the store
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{blocker / 'mlflow.db'}")
    trained = run_here(
        *("train", "--features_dir", features_dir, "--run_dir", "run", *settings),
        *("--training.num_epochs", 1, "--model.fusion", "concat"),
        cwd=tmp_path,
    )
    assert trained.status == 3
    assert "95 % intervals" in trained.out
    assert f"python -m pipeline sync --run_dir {tmp_path / 'run'}" in caplog.text
    assert (tmp_path / "run" / "model.keras").exists()

    incomplete = run_here("sync", "--run_dir", "run", cwd=tmp_path)
    assert "MLflow does not have the whole run yet" in incomplete.error_line(status=3)

    blocker.unlink()
    delivered = run_here("sync", "--run_dir", "run", cwd=tmp_path)
    assert (delivered.status, delivered.err) == (0, "")
    run_id = json.loads((tmp_path / "run" / "mlflow.json").read_text())["run_id"]
    assert run_id in delivered.out
    client = MlflowClient(tracking_uri=f"sqlite:///{blocker / 'mlflow.db'}")
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    for name, last_step in (("loss/val", 1), ("step/loss", 5)):
        steps = [point.step for point in client.get_metric_history(run_id, name)]
        assert steps == list(range(1, last_step + 1))
    assert run.data.params["model.fusion"] == "concat"
    assert len(run.inputs.dataset_inputs) == 3
    assert len(run.outputs.model_outputs) == 1
    assert {each.path for each in client.list_artifacts(run_id)} >= {"config.yaml", "predictions"}


def test_a_second_sync_changes_nothing(run_here, first, workspace):
    before = (first / "mlflow.json").read_bytes()
    result = run_here("sync", "--run_dir", first, cwd=workspace)
    assert result.status == 0
    assert (first / "mlflow.json").read_bytes() == before


def test_a_loss_that_is_not_finite_fails_the_run_with_its_epoch(
    run_here, tmp_path, features_dir, settings
):
    result = run_here(
        *("train", "--features_dir", features_dir, "--run_dir", "run", *settings),
        *("--training.num_epochs", 3, "--training.learning_rate", "1e30"),
        *("--training.schedule", "constant", "--training.gradient_clip_norm", 0),
        *("--training.optimizer", "adam", "--training.loss", "mse", "--model.linear_start", "zero"),
        cwd=tmp_path,
    )
    line = result.error_line()
    assert "epoch" in line
    assert "Lower training.learning_rate" in line
    run_id = json.loads((tmp_path / "run" / "mlflow.json").read_text())["run_id"]
    run = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}").get_run(run_id)
    assert run.info.status == "FAILED"
    assert f"error: {run.data.tags['failure']}" == line


def test_a_deleted_experiment_is_an_error_before_training(
    run_here, tmp_path, features_dir, settings
):
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    client.delete_experiment(client.create_experiment("ocean"))
    result = run_here(
        *("train", "--features_dir", features_dir, "--run_dir", "run", *settings), cwd=tmp_path
    )
    assert "mlflow experiments restore" in result.error_line()
    assert not (tmp_path / "run").exists()
