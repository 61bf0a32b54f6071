"""Cross-validation scores each clip once, with a model that was not trained on its group."""

import json

import pandas as pd
import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.slow


@pytest.fixture
def run_dir(run_here, workspace, features_dir, settings, caplog):
    path = workspace / "folds"
    if not path.exists():
        result = run_here(
            *("train", "--features_dir", features_dir, "--run_dir", path, *settings),
            *("--training.num_folds", 2, "--training.num_epochs", 1, "--model.fusion", "concat"),
            cwd=workspace,
        )
        assert (result.status, result.err, caplog.text) == (0, "", "")
    return path


def test_each_clip_outside_the_test_subset_has_the_score_from_its_fold(run_dir):
    split = pd.read_csv(run_dir / "split.csv").set_index("clip_id")["split"]
    scores = pd.read_csv(run_dir / "predictions" / "validation.csv", index_col="clip_id")
    assert scores.index.is_unique
    assert set(scores.index) == set(split.index[split != "test"])
    assert len(scores) == json.loads((run_dir / "evaluation.json").read_text())["num_clips"] == 192
    for number in (1, 2):
        fold = run_dir / "folds" / f"fold-{number}" / "predictions" / "validation.csv"
        of_fold = pd.read_csv(fold, index_col="clip_id")
        pd.testing.assert_frame_equal(scores.loc[of_fold.index], of_fold)


def test_no_fold_is_evaluated_on_a_training_group(run_dir):
    held_out = []
    for number in (1, 2):
        split = pd.read_csv(run_dir / "folds" / f"fold-{number}" / "split.csv")
        groups = split.groupby("split")["group"].unique()
        assert set(groups["train"]).isdisjoint(groups["validation"])
        held_out += list(groups["validation"])
    assert len(held_out) == len(set(held_out)) == 32


def test_the_mean_baseline_has_zero_correlation(run_dir):
    # With one mean per fold, the correlation would be negative.
    report = json.loads((run_dir / "evaluation.json").read_text())
    scores = report["baselines"]["training_mean"]
    zero = {"value": 0.0, "low": 0.0, "high": 0.0}
    assert (scores["pcc"]["mean"], scores["ccc"]["mean"]) == (zero, zero)
    assert abs(scores["r2"]["mean"]["value"]) < 1e-6


def test_mlflow_has_one_run_with_a_nested_run_per_fold(run_dir, workspace):
    client = MlflowClient(tracking_uri=f"sqlite:///{workspace / 'mlflow.db'}")
    parent = json.loads((run_dir / "mlflow.json").read_text())["run_id"]
    experiment = client.get_experiment_by_name("ocean")
    runs = [
        run
        for run in client.search_runs([experiment.experiment_id])
        if run.data.params.get("model.fusion") == "concat"
    ]
    nested = {
        run.info.run_name: run.data.tags["mlflow.parentRunId"]
        for run in runs
        if run.info.run_id != parent
    }
    assert len(runs) == 3
    assert nested == {f"fold-{number}": parent for number in (1, 2)}
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_the_final_model_is_evaluated_only_on_test_clips(run_dir, run_here, workspace):
    before = (run_dir / "predictions" / "validation.csv").read_bytes()
    line = run_here("evaluate", "--run_dir", run_dir, cwd=workspace).error_line()
    assert "trained on the clips of all folds" in line
    assert (run_dir / "predictions" / "validation.csv").read_bytes() == before
    result = run_here("evaluate", "--run_dir", run_dir, "--split", "test", cwd=workspace)
    assert result.status == 0, result.err
    assert "the model was trained on" not in result.out
