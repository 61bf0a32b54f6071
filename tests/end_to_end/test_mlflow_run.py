"""A training started by `mlflow run` uses the MLflow run that this command creates."""

import json
import subprocess

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.slow


def git_status(repository):
    command = ["git", "status", "--porcelain", "--ignored"]
    status = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    return set(status.stdout.splitlines())


@pytest.fixture(scope="module")
def directory(run, repository, features_dir, tmp_path_factory):
    """Working directory of a training started by `mlflow run`."""
    directory = tmp_path_factory.mktemp("mlflow-run")
    before = git_status(repository)
    result = run(
        *("run", repository, "-e", "train", "--env-manager", "local"),
        *("-P", f"features_dir={features_dir}", "-P", f"run_dir={directory / 'run'}"),
        *("-P", "training.num_epochs=2", "-P", "training.learning_rate=1e-3"),
        *("-P", "model.fusion=concat", "-P", "description=two words"),
        *("-P", "tracking.patience_seconds=60"),
        *("-P", "evaluation.num_resamples=100", "-P", "evaluation.figures=false"),
        cwd=directory,
        program=("mlflow",),
        environment={"KERAS_BACKEND": "jax"},  # a user may have set this for other projects
    )
    assert result.status == 0, result.err
    outputs = ("runs/", "mlruns/", "mlflow.db", "features/", "results/")
    new = git_status(repository) - before
    assert [line for line in new if line.endswith(outputs)] == []
    return directory


@pytest.fixture
def client(directory):
    return MlflowClient(f"sqlite:///{directory / 'mlflow.db'}")


def test_training_uses_the_run_and_experiment_from_mlflow_run(directory, client):
    (run,) = client.search_runs(["0"])
    link = json.loads((directory / "run" / "mlflow.json").read_text())
    assert run.info.run_id == link["run_id"]
    assert run.info.status == "FINISHED"
    assert "per_epoch/r2/val" in run.data.metrics
    assert len(run.outputs.model_outputs) == 1
    assert [each.name for each in client.search_experiments()] == ["Default"]


def test_mlflow_has_the_given_and_the_parsed_parameters(client):
    (run,) = client.search_runs(["0"])
    assert run.data.params["training.num_epochs"] == "2"
    assert run.data.params["description"] == "'two words'"
    assert run.data.params["training.learning_rate"] == "1e-3"
    assert run.data.params["training.batch_size"] == "32"


def test_a_parameter_of_mlflow_run_is_not_logged_again_as_a_setting(client):
    (run,) = client.search_runs(["0"])
    assert "features_dir" in run.data.params
    assert "data.features_dir" not in run.data.params


def test_the_generated_name_is_replaced(client):
    (run,) = client.search_runs(["0"])
    assert "fusion=concat" in run.info.run_name


def test_another_command_fills_the_run_of_mlflow_run(directory, client, run):
    run_id = client.create_run("0").info.run_id
    result = run(
        *("sync", "--run_dir", directory / "run"),
        cwd=directory,
        environment={"MLFLOW_RUN_ID": run_id},
    )
    assert result.status == 0, result.err
    filled = client.get_run(run_id)
    client.delete_run(run_id)  # the other tests expect one run
    assert filled.info.run_name == "sync run"
    assert "sent to" in filled.data.tags["mlflow.note.content"]
