"""`mlflow run`: the run that it makes is the run of the training."""

import json
import subprocess

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(run, repository, features_dir, tmp_path_factory):
    directory = tmp_path_factory.mktemp("mlflow-run")
    before = subprocess.run(
        ["git", "status", "--porcelain", "--ignored"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    ended = run(
        *("run", repository, "-e", "train", "--env-manager", "local"),
        *("-P", f"features_dir={features_dir}", "-P", f"run_dir={directory / 'run'}"),
        *("-P", "training.num_epochs=2", "-P", "training.learning_rate=1e-3"),
        *("-P", "model.fusion=concat", "-P", "description=two words"),
        *("-P", "evaluation.num_resamples=100", "-P", "evaluation.figures=false"),
        cwd=directory,
        program=("mlflow",),
        environment={"KERAS_BACKEND": "jax"},  # of a user whose other projects use it
    )
    return directory, ended, before.stdout


@pytest.fixture
def made(finished):
    directory, ended, _ = finished
    assert ended.status == 0, ended.err
    (made,) = MlflowClient(f"sqlite:///{directory / 'mlflow.db'}").search_runs(["0"])
    return made


def test_the_training_takes_the_run_that_mlflow_run_made(made, finished):
    directory, _, _ = finished
    link = json.loads((directory / "run" / "mlflow.json").read_text())
    assert made.info.run_id == link["run_id"]
    assert made.info.status == "FINISHED"
    assert "validation/r2/mean" in made.data.metrics
    assert len(made.outputs.model_outputs) == 1


def test_no_other_experiment_is_made(made, finished):
    directory, _, _ = finished
    experiments = MlflowClient(f"sqlite:///{directory / 'mlflow.db'}").search_experiments()
    assert [each.name for each in experiments] == ["Default"]


def test_an_undeclared_parameter_reaches_the_configuration(made):
    assert made.data.params["training.num_epochs"] == "2"
    assert made.data.params["config.training.num_epochs"] == "2"
    assert made.data.params["config.description"] == "two words"


def test_what_was_typed_and_what_it_meant_are_both_there(made):
    assert made.data.params["training.learning_rate"] == "1e-3"
    assert made.data.params["config.training.learning_rate"] == "0.001"


def test_the_project_itself_is_left_as_it_was(finished, repository):
    after = subprocess.run(
        ["git", "status", "--porcelain", "--ignored"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    left = ("runs/", "mlruns/", "mlflow.db", "features/", "results/")
    new = set(after.stdout.splitlines()) - set(finished[2].splitlines())
    assert [line for line in new if line.endswith(left)] == []
