"""Two searches can start one study at the same time. They share the trials and the MLflow run."""

import json

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.slow

NUM_TRIALS = 2
TIMEOUT_SECONDS = 280


def test_two_searches_share_a_study_that_both_start_at_the_same_time(
    start, features_dir, settings, tmp_path
):
    (tmp_path / "space.yaml").write_text("name: small\nparameters:\n  fusion_dim: [8, 16]\n")
    processes = [
        start(
            *("search", "--features_dir", features_dir, "--space", "space.yaml", *settings),
            *("--num_trials", NUM_TRIALS, "--num_workers", 1, "--training.num_epochs", 1),
            *("--run_dir", name, "--study", "shared", "--storage", "sqlite:///shared.db"),
            *("--model.fusion", "concat"),
            cwd=tmp_path,
        )
        for name in ("a", "b")
    ]
    outputs = [process.communicate(timeout=TIMEOUT_SECONDS) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert "Traceback" not in str(outputs)
    assert "warning" not in str(outputs)
    (path,) = tmp_path.glob("*/search/study.json")
    trials = json.loads(path.read_text())["trials"]
    assert [trial["state"] for trial in trials] == ["COMPLETE"] * NUM_TRIALS
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("ocean")
    runs = client.search_runs([experiment.experiment_id])
    (study,) = [run.info.run_id for run in runs if run.data.tags["kind"] == "study"]
    nested = [run for run in runs if run.data.tags["kind"] == "trial"]
    assert len(nested) == NUM_TRIALS
    assert {run.data.tags["mlflow.parentRunId"] for run in nested} == {study}
    assert {run.info.status for run in runs} == {"FINISHED"}
