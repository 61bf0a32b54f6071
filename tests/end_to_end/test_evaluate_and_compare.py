"""`evaluate` and `compare` on a run, and `evaluate` on its model in MLflow."""

import json

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


def test_evaluate_gives_the_validation_scores_of_the_training(run_here, first, workspace):
    before = read_report(first)
    result = run_here("evaluate", "--run_dir", "first", cwd=workspace)
    assert (result.status, result.err) == (0, "")
    assert read_report(first)["metrics"] == before["metrics"]
    assert read_report(first)["baselines"] == before["baselines"]


def test_evaluate_logs_test_scores_and_train_does_not(run_here, first, workspace, client, run_id):
    before = client.get_run(run_id).data.metrics
    assert not [name for name in before if "/test/" in name]
    assert not (first / "predictions" / "test.csv").exists()
    assert run_here("evaluate", "--run_dir", first, "--split", "test", cwd=workspace).status == 0
    assert read_report(first)["num_clips"] == 48
    assert "eval/test/r2" in client.get_run(run_id).data.metrics
    artifacts = {each.path for each in client.list_artifacts(run_id, "predictions")}
    assert "predictions/test.csv" in artifacts


def test_evaluating_training_clips_gives_a_warning(run_here, first, workspace):
    result = run_here("evaluate", "--run_dir", first, "--split", "all", cwd=workspace)
    assert result.status == 0
    assert "trained on 144 of these 240 clips" in result.out
    assert len(pd.read_csv(first / "predictions" / "all.csv")) == 240


def test_scores_are_reported_per_value_of_a_column(run_here, first, workspace):
    result = run_here("evaluate", "--run_dir", first, "--by", "camera", cwd=workspace)
    assert "by camera" in result.out
    subgroups = read_report(first)["by"]["camera"]
    assert sorted(subgroups) == ["indoors", "outdoors"]
    assert sum(each["num_clips"] for each in subgroups.values()) == 48


def test_an_evaluation_of_other_features_can_be_written_to_another_directory(
    run_here, first, workspace, features_copy, tmp_path, caplog
):
    labels = np.load(features_copy / "labels.npy")
    np.save(features_copy / "labels.npy", labels[::-1])
    kept = ("evaluation.json", "predictions/validation.csv", "events.jsonl")
    before = [(first / name).read_bytes() for name in kept]
    options = ("evaluate", "--run_dir", first, "--features_dir", features_copy)
    result = run_here(*options, "--output_dir", tmp_path / "new", cwd=workspace)
    assert (result.status, result.err, caplog.text) == (0, "", "")
    assert [(first / name).read_bytes() for name in kept] == before
    assert read_report(tmp_path / "new")["metrics"] != read_report(first)["metrics"]
    assert len(pd.read_csv(tmp_path / "new" / "predictions" / "validation.csv")) == 48

    assert run_here(*options, cwd=workspace).status == 0
    assert "Give --output_dir" in caplog.text
    assert run_here("evaluate", "--run_dir", first, cwd=workspace).status == 0  # restores the run


def test_an_evaluation_of_a_model_in_mlflow_is_logged_to_the_run_of_the_model(
    run_here, first, workspace, tmp_path, model_uri, client, run_id, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace / 'mlflow.db'}")
    result = run_here("evaluate", "--model_uri", model_uri, "--split", "test", cwd=tmp_path)
    assert result.status == 0, result.err
    output_dir = tmp_path / "results" / "evaluation"
    run_here("evaluate", "--run_dir", first, "--split", "test", cwd=workspace)
    assert read_report(output_dir)["metrics"] == read_report(first)["metrics"]
    found, expected = (path / "predictions" / "test.csv" for path in (output_dir, first))
    assert found.read_bytes() == expected.read_bytes()
    assert len(client.get_metric_history(run_id, "eval/test/r2")) >= 2


@pytest.fixture
def make_twin(first, tmp_path):
    """Return a function that writes a run with changed predictions of `first`."""

    def make(name, change=lambda table: table):
        twin = tmp_path / name
        (twin / "predictions").mkdir(parents=True)
        (twin / "config.yaml").write_bytes((first / "config.yaml").read_bytes())
        table = pd.read_csv(first / "predictions" / "validation.csv")
        change(table).to_csv(twin / "predictions" / "validation.csv", index=False)
        return twin

    return make


@pytest.fixture
def compare(run_here, first, workspace):
    """Return a function that compares `first` with another run."""

    def run(*others, **options):
        given = [part for name, value in options.items() for part in (f"--{name}", value)]
        return run_here("compare", "--run_dir", first, *others, *given, cwd=workspace)

    return run


def test_a_perfect_run_is_better(compare, make_twin, tmp_path):
    def with_true_scores(table):
        return table.assign(**{trait: table[f"true_{trait}"] for trait in TRAITS})

    perfect = make_twin("perfect", with_true_scores)
    output = tmp_path / "difference.json"
    result = compare(perfect, output=output)
    assert result.status == 0, result.err
    assert "A: first\nB: perfect\n" in result.out
    verdict = result.out.splitlines()[-1]
    assert verdict.startswith("B is better than A in accuracy, mae")
    difference = json.loads(output.read_text())
    assert difference["names"] == ["first", "perfect"]
    assert difference["num_clips"] == 48
    assert difference["differences"]["mae"]["mean"]["value"] < 0


def test_an_equal_run_is_not_better(compare, make_twin):
    assert "No difference between A and B is shown" in compare(make_twin("twin")).out


def test_several_runs_are_compared_with_the_first(compare, make_twin, tmp_path):
    def with_true_scores(table):
        return table.assign(**{trait: table[f"true_{trait}"] for trait in TRAITS})

    runs = (make_twin("twin"), make_twin("perfect", with_true_scores))
    options = {"output": tmp_path / "differences.json", "figures_dir": tmp_path / "out"}
    result = compare(*runs, **options)
    assert result.status == 0, result.err
    assert "A: first\nB: twin\nC: perfect\n" in result.out
    assert "97.5 % intervals" in result.out
    assert result.out.count("C minus A") == 6
    assert "No difference between A and B is shown" in result.out
    assert "C is better than A in" in result.out
    pairs = json.loads(options["output"].read_text())["comparisons"]
    assert [pair["names"] for pair in pairs] == [["first", "twin"], ["first", "perfect"]]
    (figure,) = (tmp_path / "out").rglob("*.png")
    assert figure.name == "differences_from_first.png"


def test_a_figure_that_needs_a_damaged_log_is_reported(compare, make_twin, workspace):
    twin = make_twin("damaged")
    (twin / "batch_metrics").mkdir()
    (twin / "batch_metrics" / "metrics_history.json").write_text("{")
    result = compare(twin)
    assert result.status == 3
    assert "not drawn: loss_curves: " in result.out
    assert (workspace / "results" / "first-damaged" / "comparison" / "trait_scores.png").exists()


def test_runs_are_summarized_in_a_table_for_a_paper(run_here, first, make_twin, workspace):
    def with_error(table):
        return table.assign(**{trait: table[trait] + 0.01 for trait in TRAITS})

    runs = f"{first},{make_twin('second', with_error)}"
    result = run_here("summarize", "--run_dir", runs, "--output_dir", "summary", cwd=workspace)
    assert (result.status, result.err) == (0, "")
    assert "2 runs (seed 0) on 48 validation clips of 8 groups" in result.out
    assert "best epochs were chosen on these validation clips" in result.out
    table = pd.read_csv(workspace / "summary" / "summary.csv").set_index(["metric", "trait"])
    shown = f"MAE {table.loc['mae', 'mean']['mean']:.4f} ± "
    assert shown in result.out.splitlines()[-3]
    assert (workspace / "summary" / "mlflow.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "must contain the same clips"),
        ({"split": "test"}, "python -m pipeline evaluate --run_dir"),
    ],
)
def test_different_or_missing_predictions_are_an_error(compare, make_twin, options, message):
    other = make_twin("other", lambda table: table.assign(clip_id=table["clip_id"] + "x"))
    assert message in compare(other, **options).error_line()
