"""Precedence of MLflow settings: command line, environment, configuration file."""

import os

import pytest

from pipeline.core.errors import ConfigError
from pipeline.workflows.new_run import with_environment


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Remove all MLflow variables, and return a function that sets one."""
    for name in ("NAME", "ID"):
        monkeypatch.delenv(f"MLFLOW_EXPERIMENT_{name}", raising=False)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    return monkeypatch.setenv


EXPERIMENT = "tracking.experiment"


def test_the_command_line_overrides_the_environment_variables(environment):
    environment("MLFLOW_EXPERIMENT_NAME", "team")
    environment("MLFLOW_EXPERIMENT_ID", "3")
    assert with_environment({"seed": "1"}) == {"seed": "1", EXPERIMENT: "team"}
    assert with_environment({EXPERIMENT: "mine"}) == {EXPERIMENT: "mine"}
    assert "MLFLOW_EXPERIMENT_ID" not in os.environ


def test_the_run_name_of_mlflow_run_overrides_only_the_name_in_a_file(environment):
    environment("MLFLOW_RUN_ID", "abc")
    assert with_environment({}) == {"tracking.run_name": ""}
    assert with_environment({"tracking.run_name": "x"}) == {"tracking.run_name": "x"}


def test_an_experiment_that_mlflow_run_does_not_use_is_an_error(environment, monkeypatch):
    environment("MLFLOW_RUN_ID", "abc")
    monkeypatch.setattr(
        "pipeline.tracking.existing_runs.experiment_of_run", lambda run_id: "Default"
    )
    with pytest.raises(ConfigError, match="mlflow run --experiment-name mine"):
        with_environment({EXPERIMENT: "mine"})
    assert with_environment({EXPERIMENT: "Default"})[EXPERIMENT] == "Default"
