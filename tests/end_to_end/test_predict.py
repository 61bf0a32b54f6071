"""Scores, intervals and attention from `predict` for clips without labels."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from pipeline.core.traits import TRAITS
from tests.end_to_end.command import in_process

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained_dir(features_dir, workspace, settings):
    """A run of one epoch with 16 validation groups and a known encoder."""
    source = shutil.copytree(features_dir, workspace / "described")
    write_encoder(source, "hog")
    with in_process() as run:
        result = run(
            *("train", "--features_dir", source, "--run_dir", "described-run", *settings),
            *("--training.num_epochs", 1, "--data.validation_fraction", 0.4),
            *("--tracking.registered_model", "ocean"),
            cwd=workspace,
        )
    assert result.status == 0, result.err
    return workspace / "described-run"


@pytest.fixture
def clips(features_dir, tmp_path):
    """Features of twelve clips without labels, from the same encoder."""
    path = tmp_path / "clips"
    path.mkdir()
    for name in ("static", "dynamic"):
        np.save(path / f"{name}.npy", np.load(features_dir / f"{name}.npy")[:12])
    pd.read_csv(features_dir / "clips.csv").head(12).to_csv(path / "clips.csv", index=False)
    write_encoder(path, "hog")
    return path


@pytest.fixture
def predict(run_here, trained_dir, clips, tmp_path):
    """Return a function that writes the scores of the clips to `a.csv`."""

    def run(*options, features_dir=clips):
        return run_here(
            *("predict", "--run_dir", trained_dir, "--features_dir", features_dir),
            *("--output", "a.csv", *options),
            cwd=tmp_path,
        )

    return run


def write_encoder(features_dir, name):
    encoder = {"sampling": {"num_steps": 4}, "static": {"encoder": name}}
    (features_dir / "features.json").write_text(json.dumps({"encoder": encoder}))


def read(path):
    return pd.read_csv(path, dtype={"clip_id": str})


def test_clips_without_labels_get_scores_and_intervals(predict, clips, tmp_path, caplog):
    result = predict()
    assert (result.status, result.err, caplog.text) == (0, "", "")
    assert "width of the 90 % interval" in result.out
    table = read(tmp_path / "a.csv")
    assert table["clip_id"].to_list() == read(clips / "clips.csv")["clip_id"].to_list()
    for trait in TRAITS:
        assert (table[f"{trait}_low"] < table[trait]).all()
        assert (table[trait] < table[f"{trait}_high"]).all()
    assert table.drop(columns="clip_id").to_numpy().min() >= 0
    assert table.drop(columns="clip_id").to_numpy().max() <= 1


def test_a_registered_model_and_clips_without_groups_give_the_same_scores(
    run_here, predict, clips, tmp_path, workspace
):
    assert predict().status == 0
    read(clips / "clips.csv")[["clip_id"]].to_csv(clips / "clips.csv", index=False)
    result = run_here(
        *("predict", "--model_uri", "models:/ocean/1", "--features_dir", clips),
        *("--output", tmp_path / "registered.csv"),
        cwd=workspace,
    )
    assert (result.status, result.err) == (0, "")
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "registered.csv").read_text()


def test_single_files_use_numbered_clips_and_the_encoder_in_their_directory(
    run_here, trained_dir, clips, tmp_path, caplog
):
    arguments = (
        *("predict", "--run_dir", trained_dir, "--output", "b.parquet"),
        *("--static_features", clips / "static.npy", "--dynamic_features", clips / "dynamic.npy"),
    )
    assert run_here(*arguments, cwd=tmp_path).status == 0
    assert caplog.text == ""
    assert pd.read_parquet(tmp_path / "b.parquet")["clip_id"][11] == "row-000011"
    (clips / "features.json").unlink()
    assert run_here(*arguments, cwd=tmp_path).status == 0
    assert "the encoder of the features is unknown" in caplog.text
    write_encoder(clips, "vgg16")
    line = run_here(*arguments, cwd=tmp_path).error_line()
    assert "encoder.static.encoder is 'vgg16' here" in line


def test_scores_equal_the_scores_of_the_evaluation(predict, trained_dir, workspace, tmp_path):
    evaluated = read(trained_dir / "predictions" / "validation.csv").set_index("clip_id")
    assert predict(features_dir=workspace / "described").status == 0
    table = read(tmp_path / "a.csv").set_index("clip_id").loc[evaluated.index]
    np.testing.assert_allclose(table[list(TRAITS)], evaluated[list(TRAITS)], atol=1e-6)


def test_attention_to_every_step_is_written_on_request(predict, tmp_path):
    assert predict("--explain", "attention.csv").status == 0
    table = read(tmp_path / "attention.csv")
    assert list(table.columns) == ["clip_id", "trait", "stream", "step", "weight"]
    assert len(table) == 12 * 5 * (4 + 4)


@pytest.mark.parametrize(
    "command", [("predict", "--output", "a.csv"), ("evaluate", "--split", "all")]
)
def test_features_of_another_encoder_are_an_error(run_here, trained_dir, clips, tmp_path, command):
    write_encoder(clips, "vgg16")
    np.save(clips / "labels.npy", np.full((12, 5), 0.5))
    result = run_here(*command, "--run_dir", trained_dir, "--features_dir", clips, cwd=tmp_path)
    line = result.error_line()
    assert "encoder.static.encoder is 'vgg16' here and 'hog' in the model" in line
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize(
    "command", [("predict", "--output", "a.csv"), ("evaluate", "--split", "all")]
)
def test_a_model_with_an_unknown_encoder_warns_of_other_features(
    run_here, trained_dir, workspace, clips, tmp_path, caplog, command
):
    unknown = shutil.copytree(trained_dir, tmp_path / "unknown")
    data = json.loads((unknown / "data.json").read_text())
    (unknown / "data.json").write_text(json.dumps({**data, "encoder": "unknown"}))
    (unknown / "mlflow.json").unlink()
    (unknown / "manifest.json").unlink()  # older versions wrote no hashes
    np.save(clips / "labels.npy", np.load(workspace / "described" / "labels.npy")[:12])
    arguments = (*command, "--run_dir", unknown, "--features_dir")
    assert run_here(*arguments, clips, cwd=tmp_path).status == 0
    assert "encoder of the features that the model was trained on is unknown" in caplog.text
    caplog.clear()
    assert run_here(*arguments, workspace / "described", cwd=tmp_path).status == 0
    assert caplog.text == ""  # these are the training features


def test_too_few_held_out_groups_give_the_full_range_and_a_warning(
    run_here, first, features_dir, tmp_path, caplog
):
    result = run_here(
        *("predict", "--run_dir", first, "--features_dir", features_dir, "--output", "a.csv"),
        cwd=tmp_path,
    )
    assert result.status == 0
    assert "intervals are all [0, 1]" in caplog.text
    table = read(tmp_path / "a.csv")
    assert (table["openness_low"] == 0).all()
    assert (table["openness_high"] == 1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--features_dir", "clips", "--output", "a.xlsx"), "use one of .csv, .npy, .parquet"),
        (("--features_dir", "clips", "--units", "original"), "--label_range LOW,HIGH"),
        ((), "Give the clips in one way"),
        (("--features_dir", "x", "--videos_dir", "y"), "Give the clips in one way"),
        (("--face_dir", "x"), "--face_dir with --flow_dir"),
        (("--features_dir", "x", "--model_uri", "models:/ocean/1"), "not both"),
        (("--features_dir", "clips", "--explain", "clips/clips.csv"), "Give another"),
    ],
)
def test_invalid_options_are_an_error_and_change_no_file(
    run_here, trained_dir, clips, tmp_path, arguments, message
):
    before = {path: path.read_bytes() for path in clips.iterdir()}
    result = run_here("predict", "--run_dir", trained_dir, *arguments, cwd=tmp_path)
    assert message in result.error_line()
    assert {path: path.read_bytes() for path in clips.iterdir()} == before
    assert list(tmp_path.iterdir()) == [clips]


def test_videos_need_a_model_with_a_known_encoder(run_here, first, tmp_path):
    (tmp_path / "videos").mkdir()
    result = run_here(
        *("predict", "--run_dir", first, "--videos_dir", "videos", "--output", "a.csv"),
        cwd=tmp_path,
    )
    assert "Extract the features as for training, and give --features_dir" in result.error_line()


def test_features_far_outside_the_training_range_give_a_warning(predict, clips, caplog):
    dynamic = np.load(clips / "dynamic.npy")
    dynamic[[4, 7]] = 1e37
    np.save(clips / "dynamic.npy", dynamic)
    assert predict().status == 0
    clip_id = read(clips / "clips.csv")["clip_id"][4]
    for part in ("dynamic", "2 clips", clip_id):
        assert part in caplog.text
    assert "static" not in caplog.text


def test_evaluate_reports_the_coverage_of_intervals_on_new_groups(run_here, trained_dir, workspace):
    result = run_here("evaluate", "--run_dir", trained_dir, "--split", "test", cwd=workspace)
    assert result.status == 0
    assert "90 % prediction intervals contain" in result.out
    intervals = json.loads((trained_dir / "evaluation.json").read_text())["intervals"]
    assert intervals["num_groups"] == 8
    run_id = json.loads((trained_dir / "mlflow.json").read_text())["run_id"]
    client = MlflowClient(tracking_uri=f"sqlite:///{workspace / 'mlflow.db'}")
    coverage = client.get_run(run_id).data.metrics["more/test/interval_coverage"]
    assert coverage == intervals["coverage"]["mean"]["value"]
