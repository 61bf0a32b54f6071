"""Command line before environment before configuration file, for the place of an MLflow run."""

import pytest

from pipeline.commands.arguments import with_environment
from pipeline.core.errors import ConfigError


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Set only the variables that a test gives."""
    for name in ("NAME", "ID"):
        monkeypatch.delenv(f"MLFLOW_EXPERIMENT_{name}", raising=False)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    return monkeypatch.setenv


EXPERIMENT = "tracking.experiment"


def test_an_experiment_of_the_environment_replaces_that_of_a_file(environment):
    environment("MLFLOW_EXPERIMENT_NAME", "team")
    assert with_environment({"seed": "1"}) == {"seed": "1", EXPERIMENT: "team"}


def test_an_experiment_of_the_command_line_replaces_that_of_the_environment(
    environment, monkeypatch
):
    environment("MLFLOW_EXPERIMENT_NAME", "team")
    environment("MLFLOW_EXPERIMENT_ID", "3")
    assert with_environment({EXPERIMENT: "mine"}) == {EXPERIMENT: "mine"}
    with pytest.raises(KeyError):
        monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")


def test_the_name_that_mlflow_run_gave_replaces_that_of_a_file_only(environment):
    environment("MLFLOW_RUN_ID", "abc")
    assert with_environment({}) == {"tracking.run_name": ""}
    assert with_environment({"tracking.run_name": "x"}) == {"tracking.run_name": "x"}


def test_a_run_that_mlflow_run_made_does_not_move_to_another_experiment(environment, monkeypatch):
    environment("MLFLOW_RUN_ID", "abc")
    monkeypatch.setattr(
        "pipeline.tracking.existing_runs.experiment_of_run", lambda run_id: "Default"
    )
    with pytest.raises(ConfigError, match="mlflow run --experiment-name mine"):
        with_environment({EXPERIMENT: "mine"})
    assert with_environment({EXPERIMENT: "Default"})[EXPERIMENT] == "Default"
