"""`evaluate` and `compare`: on a run, on a model that MLflow keeps, on the wrong clips."""

import json

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from pipeline.core.traits import TRAITS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(first, workspace):
    return MlflowClient(tracking_uri=f"sqlite:///{workspace / 'mlflow.db'}")


@pytest.fixture(scope="module")
def run_id(first):
    return json.loads((first / "mlflow.json").read_text())["run_id"]


@pytest.fixture(scope="module")
def model_uri(client, run_id):
    (output,) = client.get_run(run_id).outputs.model_outputs
    return f"models:/{output.model_id}"


def read_report(path):
    return json.loads((path / "evaluation.json").read_text())


def test_the_validation_clips_score_what_they_scored_in_training(run_here, first, workspace):
    before = read_report(first)
    finished = run_here("evaluate", "--run_dir", "first", cwd=workspace)
    assert (finished.status, finished.err) == (0, "")
    assert read_report(first)["metrics"] == before["metrics"]
    assert read_report(first)["baselines"] == before["baselines"]


def test_the_test_split_is_read_by_evaluate_alone(run_here, first, workspace, client, run_id):
    before = client.get_run(run_id).data.metrics
    assert not [name for name in before if "/test/" in name]
    assert not (first / "predictions" / "test.csv").exists()
    assert run_here("evaluate", "--run_dir", first, "--split", "test", cwd=workspace).status == 0
    assert read_report(first)["num_clips"] == 48
    assert "evaluation/test/r2/mean" in client.get_run(run_id).data.metrics
    artifacts = {each.path for each in client.list_artifacts(run_id, "predictions")}
    assert "predictions/test.csv" in artifacts


def test_all_clips_are_scored_with_a_warning_of_those_that_were_trained_on(
    run_here, first, workspace
):
    finished = run_here("evaluate", "--run_dir", first, "--split", "all", cwd=workspace)
    assert finished.status == 0
    assert "trained on 144 of these 240 clips" in finished.out
    assert len(pd.read_csv(first / "predictions" / "all.csv")) == 240


def test_scores_are_reported_by_the_values_of_a_column(run_here, first, workspace):
    finished = run_here("evaluate", "--run_dir", first, "--by", "camera", cwd=workspace)
    assert "by camera" in finished.out
    parts = read_report(first)["by"]["camera"]
    assert sorted(parts) == ["indoors", "outdoors"]
    assert sum(part["num_clips"] for part in parts.values()) == 48


def test_an_evaluation_that_goes_elsewhere_leaves_the_run_as_it_is(
    run_here, first, workspace, broken, tmp_path
):
    labels = np.load(broken / "labels.npy")
    np.save(broken / "labels.npy", labels[::-1])
    kept = ("evaluation.json", "predictions/validation.csv", "events.jsonl")
    before = [(first / name).read_bytes() for name in kept]
    options = ("evaluate", "--run_dir", first, "--features_dir", broken)
    finished = run_here(*options, "--output_dir", tmp_path / "new", cwd=workspace)
    assert (finished.status, finished.err) == (0, "")
    assert [(first / name).read_bytes() for name in kept] == before
    assert read_report(tmp_path / "new")["metrics"] != read_report(first)["metrics"]
    assert len(pd.read_csv(tmp_path / "new" / "predictions" / "validation.csv")) == 48


def test_an_evaluation_of_other_features_says_what_it_takes_the_place_of(
    run_here, first, workspace, broken, caplog
):
    labels = np.load(broken / "labels.npy")
    np.save(broken / "labels.npy", labels[::-1])
    options = ("evaluate", "--run_dir", first, "--features_dir", broken)
    assert run_here(*options, cwd=workspace).status == 0
    assert "which it was not trained on. Give --output_dir to keep them apart." in caplog.text
    assert run_here("evaluate", "--run_dir", first, cwd=workspace).status == 0  # as it was


def test_a_model_that_mlflow_keeps_scores_the_same_and_its_run_has_the_scores(
    run_here, first, workspace, tmp_path, model_uri, client, run_id, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace / 'mlflow.db'}")
    finished = run_here(
        *("evaluate", "--model_uri", model_uri, "--split", "test", "--output_dir", "scores"),
        cwd=tmp_path,
    )
    assert finished.status == 0, finished.err
    run_here("evaluate", "--run_dir", first, "--split", "test", cwd=workspace)
    assert read_report(tmp_path / "scores")["metrics"] == read_report(first)["metrics"]
    ours, theirs = (path / "predictions" / "test.csv" for path in (tmp_path / "scores", first))
    assert ours.read_bytes() == theirs.read_bytes()
    assert len(client.get_metric_history(run_id, "evaluation/test/r2/mean")) >= 2


def test_a_model_that_mlflow_keeps_is_found_in_the_store_of_the_working_directory(
    run_here, workspace, model_uri
):
    finished = run_here("evaluate", "--model_uri", model_uri, cwd=workspace)
    assert finished.status == 0, finished.err
    assert (workspace / "results" / "evaluation" / "evaluation.json").exists()


def test_mlflow_alone_gives_the_scores_of_the_predictions(
    first, workspace, features_dir, model_uri, monkeypatch
):
    # test_packaged_model.py has a process that knows nothing else.
    mlflow.set_tracking_uri(None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace / 'mlflow.db'}")
    inputs = {name: np.load(features_dir / f"{name}.npy") for name in ("static", "dynamic")}
    clips = pd.read_csv(features_dir / "clips.csv")["clip_id"]
    found = mlflow.pyfunc.load_model(model_uri).predict(inputs)
    scores = pd.DataFrame(found, index=clips, columns=TRAITS)
    expected = pd.read_csv(first / "predictions" / "validation.csv", index_col="clip_id")
    # Batches of other sizes add in another order.
    np.testing.assert_allclose(
        scores.loc[expected.index], expected[list(TRAITS)].to_numpy(), rtol=0, atol=1e-6
    )


def test_two_runs_are_compared_on_their_clips(run_here, first, workspace, tmp_path):
    shifted = workspace / "shifted"
    shifted.mkdir()
    (shifted / "config.yaml").write_bytes((first / "config.yaml").read_bytes())
    table = pd.read_csv(first / "predictions" / "validation.csv")
    table[list(TRAITS)] = table[[f"true_{trait}" for trait in TRAITS]].to_numpy()
    (shifted / "predictions").mkdir()
    table.to_csv(shifted / "predictions" / "validation.csv", index=False)
    finished = run_here(
        *("compare", "--run_a", first, "--run_b", shifted),
        *("--output", tmp_path / "difference.json"),
        cwd=workspace,
    )
    assert finished.status == 0, finished.err
    assert "shifted is better than first in" in finished.out
    written = json.loads((tmp_path / "difference.json").read_text())
    assert written["names"] == ["first", "shifted"]
    assert written["num_clips"] == 48
    assert written["differences"]["mae"]["mean"]["value"] < 0


def test_a_run_is_no_better_than_itself(run_here, first, workspace, tmp_path):
    twin = tmp_path / "twin"
    (twin / "predictions").mkdir(parents=True)
    for name in ("config.yaml", "predictions/validation.csv"):
        (twin / name).write_bytes((first / name).read_bytes())
    finished = run_here("compare", "--run_a", first, "--run_b", twin, cwd=workspace)
    assert "No difference between first and twin is shown" in finished.out


def test_a_figure_that_a_damaged_log_costs_is_named(run_here, first, workspace, tmp_path):
    twin = tmp_path / "twin"
    (twin / "predictions").mkdir(parents=True)
    (twin / "batch_metrics").mkdir()
    for name in ("config.yaml", "predictions/validation.csv"):
        (twin / name).write_bytes((first / name).read_bytes())
    (twin / "batch_metrics" / "metrics_history.json").write_text("{")
    finished = run_here("compare", "--run_a", first, "--run_b", twin, cwd=workspace)
    assert finished.status == 3
    assert "not drawn: loss_curves: " in finished.out
    assert (workspace / "results" / "first-twin" / "comparison" / "trait_scores.png").exists()


def test_runs_on_other_clips_are_not_compared(run_here, first, workspace, tmp_path):
    other = tmp_path / "other"
    (other / "predictions").mkdir(parents=True)
    (other / "config.yaml").write_bytes((first / "config.yaml").read_bytes())
    table = pd.read_csv(first / "predictions" / "validation.csv")
    table["clip_id"] += "x"
    table.to_csv(other / "predictions" / "validation.csv", index=False)
    finished = run_here("compare", "--run_a", first, "--run_b", other, cwd=workspace)
    assert finished.status == 2
    (line,) = finished.err.splitlines()
    assert "must hold the same clips" in line


def test_a_split_without_predictions_is_refused_with_the_command_that_makes_them(
    run_here, first, twin_of_nobody, workspace
):
    finished = run_here(
        "compare", "--run_a", first, "--run_b", twin_of_nobody, "--split", "test", cwd=workspace
    )
    assert finished.status == 2
    (line,) = finished.err.splitlines()
    assert "python -m pipeline evaluate --run_dir" in line


@pytest.fixture
def twin_of_nobody(tmp_path, first):
    path = tmp_path / "nobody"
    path.mkdir()
    (path / "config.yaml").write_bytes((first / "config.yaml").read_bytes())
    return path
