"""Feature sets with other traits than OCEAN: training, evaluation, prediction, packaged model."""

import json

import mlflow
import numpy as np
import pandas as pd
import pytest

from pipeline.data.writer import StreamValues, write_feature_set
from pipeline.records.predictions import read_predictions
from tests.end_to_end.command import in_process

pytestmark = pytest.mark.slow

NUM_CLIPS = 120
THREE = ("honesty", "humility", "interview")
ONE = ("interview",)


def write_set(path, trait_names):
    numbers = np.random.default_rng(0)
    labels = numbers.random((NUM_CLIPS, len(trait_names)), dtype=np.float32)
    dynamic = numbers.normal(size=(NUM_CLIPS, 4, 3)).astype(np.float32)
    dynamic[:, :, 0] += labels[:, :1]
    write_feature_set(
        path,
        streams={
            "static": StreamValues(values=numbers.normal(size=(NUM_CLIPS, 5)).astype(np.float32)),
            "dynamic": StreamValues(values=dynamic),
        },
        clips=pd.DataFrame(
            {
                "clip_id": [f"clip{row}" for row in range(NUM_CLIPS)],
                "group": [f"video{row // 3}" for row in range(NUM_CLIPS)],
            }
        ),
        labels=labels,
        metadata={"traits": [{"name": name} for name in trait_names]},
    )


@pytest.fixture(scope="module", params=[THREE, ONE], ids=["three", "one"])
def trained(request, tmp_path_factory):
    """Names of the traits, and a directory with `features` and with a run of three epochs."""
    directory = tmp_path_factory.mktemp("traits")
    write_set(directory / "features", request.param)
    with in_process() as run:
        result = run(
            *("train", "--features_dir", "features", "--run_dir", "run"),
            *("--training.num_epochs", 3, "--data.test_fraction", 0.2),
            *("--model.fusion_dim", 16, "--model.num_heads", 2),
            *("--evaluation.num_resamples", 100, "--tracking.patience_seconds", 60),
            cwd=directory,
        )
    assert result.status == 0, result.err
    return request.param, directory


@pytest.fixture
def run_there(trained, run_here):
    """A function that runs a command in the directory, and returns its output."""

    def run(*arguments):
        result = run_here(*arguments, cwd=trained[1])
        assert result.status == 0, result.err
        return result.out

    return run


def test_the_files_of_a_run_have_the_names_of_the_traits(trained):
    names, directory = trained
    run = directory / "run"
    report = json.loads((run / "evaluation.json").read_text())
    assert set(report["metrics"]["r2"]) == {*names, "mean"}
    assert set(json.loads((run / "conformal.json").read_text())["half_widths"]) == set(names)
    assert [each["name"] for each in json.loads((run / "data.json").read_text())["traits"]] == [
        *names
    ]
    history = json.loads((run / "batch_metrics" / "metrics_history.json").read_text())
    found = {name for name in history["epoch"]["val_metrics"] if name.startswith("mae_")}
    assert found == {f"mae_{name}" for name in names}
    assert read_predictions(run / "predictions" / "validation.csv").trait_names == names


def test_metrics_in_mlflow_have_the_names_of_the_traits(trained):
    names, directory = trained
    client = mlflow.MlflowClient(f"sqlite:///{directory / 'mlflow.db'}")
    run_id = json.loads((directory / "run" / "mlflow.json").read_text())["run_id"]
    metrics = client.get_run(run_id).data.metrics
    prefix = "per_trait/val/ccc/"
    found = {name.removeprefix(prefix) for name in metrics if name.startswith(prefix)}
    assert found == {*names}


def test_every_figure_of_the_traits_is_drawn(trained, run_there):
    names, directory = trained
    run_there("visualize", "--run_dir", "run", "--all", "true")
    figures = {path.name for path in (directory / "run" / "training_visualizations").iterdir()}
    found = {name for name in figures if name.startswith("trait_") and "_metrics" in name}
    of_traits = {f"trait_{name.capitalize()}_metrics.png" for name in names}
    assert found == {"trait_metrics.png", *of_traits}
    assert {"scores_and_baselines.png", "calibration.png", "residuals.png"} <= figures
    assert ("trait_correlations.png" in figures) == (len(names) > 1)
    assert all(name in (directory / "run" / "report.html").read_text() for name in names)


def test_the_run_is_evaluated_on_test_clips(trained, run_there):
    names, directory = trained
    out = run_there(
        *("evaluate", "--run_dir", "run", "--split", "test", "--output_dir", "test", "--verbose")
    )
    assert all(name in out for name in names)
    assert "openness" not in out
    report = json.loads((directory / "test" / "evaluation.json").read_text())
    assert set(report["baselines"]["ridge"]["mae"]) == {*names, "mean"}


def test_predictions_and_attention_have_the_names_of_the_traits(trained, run_there):
    names, directory = trained
    options = ("--run_dir", "run", "--features_dir", "features")
    run_there("predict", *options, "--output", "scores.csv", "--explain", "attention.csv")
    table = pd.read_csv(directory / "scores.csv")
    columns = [f"{name}{ending}" for name in names for ending in ("", "_low", "_high")]
    assert table.columns.tolist() == ["clip_id", *columns]
    attention = pd.read_csv(directory / "attention.csv")
    assert attention["trait"].unique().tolist() == [*names]
    assert len(attention) == NUM_CLIPS * len(names) * 4


def test_labels_of_other_traits_do_not_matter_for_a_prediction(trained, run_there):
    names, directory = trained
    write_set(directory / "unused", ("warmth", "competence"))
    options = ("--run_dir", "run", "--features_dir", "unused")
    run_there("predict", *options, "--output", "other.csv")
    assert set(names) <= set(pd.read_csv(directory / "other.csv"))


def test_labels_of_other_traits_cannot_be_evaluated(trained, run_here):
    names, directory = trained
    write_set(directory / "other", ("warmth", "competence"))
    options = ("--run_dir", "run", "--features_dir", "other", "--output_dir", "bad")
    result = run_here("evaluate", *options, "--split", "all", cwd=directory)
    assert f"has no trait {names[0]}" in result.error_line()


def test_the_packaged_model_names_its_outputs_and_predicts_the_scores(trained):
    names, directory = trained
    mlflow.set_tracking_uri(f"sqlite:///{directory / 'mlflow.db'}")
    run_id = json.loads((directory / "run" / "mlflow.json").read_text())["run_id"]
    (output,) = mlflow.get_run(run_id).outputs.model_outputs
    model = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
    assert model.metadata.signature.outputs.input_names() == [*names]
    assert [each["name"] for each in model.metadata.metadata["traits"]] == [*names]
    rows = read_predictions(directory / "run" / "predictions" / "validation.csv")
    chosen = [int(clip_id.removeprefix("clip")) for clip_id in rows.clip_ids]
    inputs = {
        name: np.load(directory / "features" / f"{name}.npy")[chosen]
        for name in ("static", "dynamic")
    }
    np.testing.assert_allclose(model.predict(inputs), rows.y_pred, atol=1e-6)
    intervals = model.predict(inputs, params={"intervals": True})
    assert intervals.shape == (len(chosen), len(names), 3)
