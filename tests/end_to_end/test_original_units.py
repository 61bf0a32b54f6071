"""A set with one clip per group, annotations from 1 to 7, and a trait that is scored in reverse."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from pipeline.core.traits import FIRST_IMPRESSIONS, TRAITS, traits_entry
from tests.end_to_end.command import in_process

pytestmark = pytest.mark.slow

REVERSED = "Neuroticism is scored in reverse"
UNGROUPED = "240 clips in 240 groups: every clip counts as a different person"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Working directory of the run."""
    return tmp_path_factory.mktemp("likert")


@pytest.fixture(scope="module")
def likert_dir(features_dir, home):
    path = shutil.copytree(features_dir, home / "features")
    table = pd.read_csv(path / "clips.csv")
    table.assign(group=table["clip_id"]).to_csv(path / "clips.csv", index=False)
    traits = [dataclasses.replace(trait, label_range=(1.0, 7.0)) for trait in FIRST_IMPRESSIONS]
    (path / "features.json").write_text(json.dumps(traits_entry(traits)))
    return path


@pytest.fixture(scope="module")
def trained(likert_dir, home, settings):
    """Result of a cross-validation; its run directory is `home/likert-run`."""
    with in_process() as run:
        return run(
            *("train", "--features_dir", likert_dir, "--run_dir", "likert-run", *settings),
            *("--training.num_folds", 2, "--training.num_epochs", 1, "--model.fusion", "concat"),
            *("--evaluation.figures", "true", "--tracking.registered_model", "likert"),
            cwd=home,
        )


@pytest.fixture(scope="module")
def run_dir(trained, home):
    assert trained.status == 0, trained.err
    return home / "likert-run"


@pytest.fixture(scope="module")
def client(run_dir, home):
    return MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")


@pytest.fixture
def predict(run_here, run_dir, likert_dir, tmp_path):
    """Return a function that writes a score table, and returns the printed text and the table."""

    def run(*options, output="scores.csv", read=pd.read_csv):
        result = run_here(
            *("predict", "--run_dir", run_dir, "--features_dir", likert_dir),
            *("--output", output, *options),
            cwd=tmp_path,
        )
        assert result.status == 0, result.err
        return result.out, read(tmp_path / output)

    return run


def test_train_prints_the_groups_before_training_and_the_direction_with_the_scores(trained):
    assert trained.out.index(UNGROUPED) < trained.out.index("device:")
    assert REVERSED in trained.out
    assert "on the original scale: 1 to 7" in trained.out
    assert "same_group_mean" not in trained.out


def test_the_run_keeps_the_range_and_the_direction_of_each_trait(run_dir):
    entries = json.loads((run_dir / "data.json").read_text())["traits"]
    assert [entry["label_range"] for entry in entries] == [[1.0, 7.0]] * 5
    assert [entry["is_reversed"] for entry in entries] == [False] * 4 + [True]


def test_the_evaluation_has_errors_in_original_units_and_no_same_group_mean(run_dir):
    report = json.loads((run_dir / "evaluation.json").read_text())
    scores = pd.read_csv(run_dir / "predictions" / "validation.csv")
    error = 6 * (scores["openness"] - scores["true_openness"])
    units = report["original_units"]
    assert units["mae"]["openness"]["value"] == pytest.approx(error.abs().mean())
    assert units["rmse"]["openness"]["value"] == pytest.approx(np.sqrt((error**2).mean()))
    assert list(report["baselines"]) == ["training_mean", "ridge"]


def test_mlflow_has_the_same_errors_and_no_same_group_mean(run_dir, client):
    run_id = json.loads((run_dir / "mlflow.json").read_text())["run_id"]
    metrics = client.get_run(run_id).data.metrics
    report = json.loads((run_dir / "evaluation.json").read_text())
    for metric in ("mae", "rmse"):
        found = metrics[f"more/val/{metric}_original"]
        assert found == report["original_units"][metric]["mean"]["value"]
    assert "eval/val/r2_ridge" in metrics
    references = {name.rpartition("/")[2] for name in metrics if name.startswith("reference/")}
    assert references == {"training_mean"}


def test_the_packaged_model_describes_direction_and_range(run_dir, client):
    version = client.get_model_version("likert", 1)
    (output,) = client.get_run(version.run_id).outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    for text in (version.description, model.tags["mlflow.note.content"]):
        assert REVERSED in text
        assert "1 to 7" in text


def test_the_report_begins_its_caveats_with_the_groups(run_dir):
    page = (run_dir / "report.html").read_text()
    caveats = page[page.index('<ul class="caveats">') :]
    assert caveats.index(UNGROUPED) < caveats.index("</li>")
    assert "same-group mean" not in caveats
    assert (run_dir / "training_visualizations" / "scores_and_baselines.png").exists()


def test_evaluate_prints_errors_in_original_units(run_here, run_dir, home, tmp_path):
    result = run_here(
        *("evaluate", "--run_dir", run_dir, "--split", "test", "--output_dir", tmp_path / "e"),
        "--verbose",
        cwd=home,
    )
    assert result.status == 0, result.err
    for text in (REVERSED, "on the original scale: 1 to 7", "rmse"):
        assert text in result.out


@pytest.mark.parametrize(
    ("output", "read"), [("a.csv", pd.read_csv), ("a.parquet", pd.read_parquet)]
)
def test_predict_writes_scores_and_limits_in_original_units(predict, output, read):
    shown, original = predict("--units", "original", output=output, read=read)
    _, scores = predict()
    assert list(original.columns) == list(scores.columns)
    for trait in TRAITS:
        for column in (trait, f"{trait}_low", f"{trait}_high"):
            np.testing.assert_allclose(original[column], 1 + 6 * scores[column], atol=1e-9)
    assert shown.index(REVERSED) < shown.index("on the scale 1 to 7")


def test_predict_without_the_option_writes_scores(predict):
    shown, table = predict()
    assert table.drop(columns="clip_id").to_numpy().max() <= 1
    assert "on the scale 0 to 1" in shown
