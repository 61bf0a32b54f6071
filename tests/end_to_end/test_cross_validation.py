"""`--training.num_folds`: every clip is scored once, by a model that has not seen its group."""

import json

import pandas as pd
import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.slow


@pytest.fixture
def cross_validated(run_here, workspace, features_dir, settings, caplog):
    path = workspace / "folds"
    if not path.exists():
        finished = run_here(
            *("train", "--features_dir", features_dir, "--run_dir", path),
            *("--training.num_folds", 2, "--training.num_epochs", 1, "--model.fusion", "concat"),
            *("--evaluation.figures", "false"),
            *settings,
            cwd=workspace,
        )
        assert finished.status == 0, finished.err
        assert finished.err == ""
        assert caplog.text == ""
    return path


def test_every_clip_outside_the_test_is_scored_once(cross_validated):
    split = pd.read_csv(cross_validated / "split.csv").set_index("clip_id")["split"]
    predicted = pd.read_csv(cross_validated / "predictions" / "validation.csv")["clip_id"]
    assert predicted.is_unique
    assert set(predicted) == set(split.index[split != "test"])
    assert len(predicted) == 192


def test_no_fold_is_scored_on_a_group_that_it_was_trained_on(cross_validated):
    held_out = []
    for number in (1, 2):
        split = pd.read_csv(cross_validated / "folds" / f"fold-{number}" / "split.csv")
        groups = split.groupby("split")["group"].unique()
        assert set(groups["train"]).isdisjoint(groups["validation"])
        held_out += list(groups["validation"])
    assert len(held_out) == len(set(held_out)) == 32


def test_the_scores_are_those_of_the_folds(cross_validated):
    whole = pd.read_csv(cross_validated / "predictions" / "validation.csv", index_col="clip_id")
    for number in (1, 2):
        fold = cross_validated / "folds" / f"fold-{number}" / "predictions" / "validation.csv"
        part = pd.read_csv(fold, index_col="clip_id")
        pd.testing.assert_frame_equal(whole.loc[part.index], part)
    assert json.loads((cross_validated / "evaluation.json").read_text())["num_clips"] == 192


def test_knowing_nothing_correlates_with_nothing(cross_validated):
    # The mean of a fold's training clips is low where its held-out clips are high.
    report = json.loads((cross_validated / "evaluation.json").read_text())
    scores = report["baselines"]["training_mean"]
    none = {"value": 0.0, "low": 0.0, "high": 0.0}
    assert (scores["pcc"]["mean"], scores["ccc"]["mean"]) == (none, none)
    assert abs(scores["r2"]["mean"]["value"]) < 1e-6


def test_mlflow_has_one_run_with_a_nested_run_for_each_fold(cross_validated, workspace):
    client = MlflowClient(tracking_uri=f"sqlite:///{workspace / 'mlflow.db'}")
    parent = json.loads((cross_validated / "mlflow.json").read_text())["run_id"]
    experiment = client.get_experiment_by_name("ocean")
    runs = [
        run
        for run in client.search_runs([experiment.experiment_id])
        if run.data.params.get("config.model.fusion") == "concat"
    ]
    nested = {
        run.info.run_name: run.data.tags["mlflow.parentRunId"]
        for run in runs
        if run.info.run_id != parent
    }
    assert len(runs) == 3
    assert nested == {f"experiment-fold-{number}": parent for number in (1, 2)}
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_the_model_that_is_kept_is_not_scored_on_clips_that_it_has_seen(
    cross_validated, run_here, workspace
):
    before = (cross_validated / "predictions" / "validation.csv").read_bytes()
    finished = run_here("evaluate", "--run_dir", cross_validated, cwd=workspace)
    assert finished.status == 2
    assert "trained on the clips of all its folds" in finished.err
    assert (cross_validated / "predictions" / "validation.csv").read_bytes() == before


def test_the_model_that_is_kept_can_be_scored_on_the_test(cross_validated, run_here, workspace):
    finished = run_here("evaluate", "--run_dir", cross_validated, "--split", "test", cwd=workspace)
    assert finished.status == 0, finished.err
    assert "the model was trained on" not in finished.out
