"""Sets with one, three and five streams work through the commands."""

import json

import mlflow
import numpy as np
import pytest

from pipeline.config.schema import SyntheticConfig
from pipeline.data.synthetic import generate_clips
from pipeline.records.predictions import read_predictions

pytestmark = pytest.mark.slow

NUM_CLIPS = 120
SPACE = """\
name: streams
parameters:
  num_heads: [1, 2]
  dropout_rate: {low: 0.0, high: 0.5}
"""
CONFIG = """\
name: streams
description: three streams
model: {fusion_dim: 8, num_heads: 2}
training: {num_epochs: 2, batch_size: 32}
evaluation: {num_resamples: 100, figures: false}
tracking: {experiment: streams}
"""


@pytest.fixture(scope="module")
def write_streams(tmp_path_factory):
    """Return a function that writes a set with the given streams of 120 clips."""
    sizes = {"num_steps": 3, "static_dim": 8, "dynamic_dim": 4}
    clips = generate_clips(SyntheticConfig(num_clips=NUM_CLIPS, **sizes))
    rng = np.random.default_rng(0)
    audio = rng.normal(size=(NUM_CLIPS, 2, 3)).astype(np.float32)
    arrays = {
        "static": clips.static,
        "dynamic": clips.dynamic,
        "audio": audio,
        "audio_mask": np.repeat(np.arange(NUM_CLIPS)[:, None] % 3 > 0, 2, axis=1),
        "pose": rng.normal(size=(NUM_CLIPS, 5)).astype(np.float32),
        "pose_mask": np.arange(NUM_CLIPS) % 4 > 0,
        "text": rng.normal(size=(NUM_CLIPS, 3)).astype(np.float32),
    }

    def write(*names):
        features_dir = tmp_path_factory.mktemp("streams")
        for name, array in arrays.items():
            if name.removesuffix("_mask") in names:
                np.save(features_dir / f"{name}.npy", array)
        np.save(features_dir / "labels.npy", clips.labels)
        clips.clips.to_csv(features_dir / "clips.csv", index=False)
        return features_dir

    return write


QUICK = (
    *("--training.num_epochs", 2, "--model.fusion_dim", 8, "--model.num_heads", 2),
    *("--evaluation.num_resamples", 100, "--tracking.enabled", "false"),
)


def recorded(run_dir):
    return json.loads((run_dir / "data.json").read_text())["streams"]


@pytest.mark.parametrize(
    ("names", "options", "explained"),
    [
        (("static", "dynamic", "audio"), ("--training.stream_dropout", 0.2), True),
        (("static", "dynamic"), ("--training.stream_dropout", 0.5), True),
        (("static", "dynamic", "audio", "pose", "text"), ("--model.num_blocks", 2), True),
        (("audio", "text"), ("--model.fusion", "late"), True),
        (("dynamic",), (), True),
        (("text",), ("--model.fusion", "gated"), False),
        (("static",), ("--model.fusion", "static_only"), True),
    ],
    ids=["three", "stream dropout", "five", "late", "sequence", "vector", "static_only"],
)
def test_a_set_is_trained_evaluated_and_predicted(
    run_here, write_streams, tmp_path, names, options, explained
):
    features_dir = write_streams(*names)
    train = ("train", "--features_dir", features_dir, "--run_dir", "run", *QUICK, *options)
    trained = run_here(*train, cwd=tmp_path)
    assert trained.status == 0, trained.err
    assert list(recorded(tmp_path / "run")) == list(names)
    before = read_predictions(tmp_path / "run" / "predictions" / "validation.csv")
    result = run_here("evaluate", "--run_dir", "run", cwd=tmp_path)
    assert result.status == 0, result.err
    after = read_predictions(tmp_path / "run" / "predictions" / "validation.csv")
    np.testing.assert_allclose(after.y_pred, before.y_pred, atol=1e-5)
    assert np.isfinite(after.y_pred).all()
    report = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert set(report["without_stream"]) == (set(names) if len(names) > 1 else set())
    result = run_here("train", "--resume", "run", cwd=tmp_path)
    assert result.status == 0, result.err
    explain = ("--explain", "attention.csv") if explained else ()
    source = ("--run_dir", "run", "--features_dir", features_dir)
    result = run_here("predict", *source, "--output", "scores.csv", *explain, cwd=tmp_path)
    assert result.status == 0, result.err


def test_three_streams_are_searched_and_served(run_here, write_streams, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    features_dir = write_streams("static", "dynamic", "audio")
    (tmp_path / "space.yaml").write_text(SPACE)
    (tmp_path / "config.yaml").write_text(CONFIG)
    options = ("--config", "config.yaml", "--features_dir", features_dir)
    search = ("search", *options, "--space", "space.yaml", "--num_trials", 2)
    result = run_here(*search, "--run_dir", "search", "--num_workers", 1, cwd=tmp_path)
    assert result.status == 0, result.err
    trained = run_here("train", *options, "--run_dir", "run", cwd=tmp_path)
    assert trained.status == 0, trained.err
    (model,) = mlflow.search_logged_models(
        experiment_ids=[mlflow.get_experiment_by_name("streams").experiment_id],
        filter_string="name = 'streams'",
        output_format="list",
        max_results=1,
        order_by=[{"field_name": "creation_timestamp", "ascending": False}],
    )
    served = mlflow.pyfunc.load_model(model.model_uri)
    clips = {
        name: np.load(features_dir / f"{name}.npy")[:4] for name in ("static", "dynamic", "audio")
    }
    masked = served.predict({**clips, "audio_mask": np.zeros((4, 2))})
    del clips["audio"]
    np.testing.assert_allclose(served.predict(clips), masked, atol=1e-6)


def test_streams_are_chosen_by_name(run_here, write_streams, tmp_path):
    features_dir = write_streams("static", "audio", "text")
    source = ("--features_dir", features_dir, "--evaluation.figures", "false")
    train = ("train", *source, "--run_dir", "run", *QUICK, "--data.streams", "text,static")
    trained = run_here(*train, cwd=tmp_path)
    assert trained.status == 0, trained.err
    assert list(recorded(tmp_path / "run")) == ["text", "static"]
    # The other stream of the set is not read.
    np.save(features_dir / "audio.npy", np.array(["damaged"]))
    for command in ("evaluate", "predict"):
        arguments = ("--run_dir", "run", "--features_dir", features_dir)
        result = run_here(command, *arguments, cwd=tmp_path)
        assert result.status == 0, result.err


def test_one_file_is_a_set_without_a_dummy(run_here, write_streams, tmp_path):
    features_dir = write_streams("static")
    files = {
        "static_features": "static.npy",
        "labels": "labels.npy",
        "clips": "clips.csv",
    }
    given = [each for name, file in files.items() for each in (f"--{name}", features_dir / file)]
    options = ("--model.fusion", "static_only", "--evaluation.figures", "false")
    trained = run_here("train", *given, "--run_dir", "run", *QUICK, *options, cwd=tmp_path)
    assert trained.status == 0, trained.err
    predict = ("predict", "--run_dir", "run", "--static_features", features_dir / "static.npy")
    result = run_here(*predict, cwd=tmp_path)
    assert result.status == 0, result.err
