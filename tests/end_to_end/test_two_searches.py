"""Two searches that begin one study at the same moment lose no trial and share one MLflow run."""

import json

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.slow

NUM_TRIALS = 4
TIMEOUT_SECONDS = 280


def test_two_searches_begin_one_study_at_once(start, features_dir, settings, tmp_path):
    (tmp_path / "space.yaml").write_text("name: small\nparameters:\n  fusion_dim: [8, 16]\n")
    processes = [
        start(
            *("search", "--features_dir", features_dir, "--space", "space.yaml", *settings),
            *("--num_trials", NUM_TRIALS, "--num_workers", 1, "--training.num_epochs", 1),
            *("--run_dir", name, "--study", "shared", "--storage", "sqlite:///shared.db"),
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
    (experiment,) = [each for each in client.search_experiments() if each.name == "ocean"]
    runs = client.search_runs([experiment.experiment_id])
    kinds = {run.info.run_id: run.data.tags["kind"] for run in runs}
    (study,) = [run_id for run_id, kind in kinds.items() if kind == "study"]
    nested = [run for run in runs if run.data.tags["kind"] == "trial"]
    assert len(nested) == NUM_TRIALS
    assert {run.data.tags["mlflow.parentRunId"] for run in nested} == {study}
    assert {run.info.status for run in runs} == {"FINISHED"}
