"""Training by name patterns, of the flagship and of a model that begins at pictures."""

import numpy as np
import pandas as pd
import pytest

from pipeline.config.schema import DataConfig
from pipeline.core.errors import ModelError
from pipeline.core.files import read_json

pytestmark = pytest.mark.slow


def train(config, run_dir):
    from pipeline.workflows.training_run import run_training

    return run_training(config, run_dir=run_dir)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """30 clips of 15 groups: face crops of 16 pixels and flow of 8."""
    path = tmp_path_factory.mktemp("pictures")
    numbers = np.random.default_rng(0)
    np.save(path / "static.npy", numbers.integers(0, 256, (30, 3, 16, 16, 3), dtype=np.uint8))
    np.save(path / "dynamic.npy", numbers.normal(size=(30, 2, 8, 8, 4)).astype(np.float16))
    np.save(path / "labels.npy", numbers.random((30, 5)).astype(np.float32))
    table = {"clip_id": [f"c{row}" for row in range(30)], "group": np.arange(30) // 2}
    pd.DataFrame(table).to_csv(path / "clips.csv", index=False)
    return path


@pytest.fixture
def picture_config(make_config, pictures):
    def make(**changes):
        settings = {
            "data__features_dir": str(pictures),
            "model__fusion": "cross_attention",
            "model__static_encoder": "conv",
            "model__dynamic_encoder": "conv",
        }
        return make_config(**{**settings, **changes})

    return make


def test_layers_that_a_pattern_freezes_keep_their_first_weights(make_config, own_directory):
    free = train(make_config(), own_directory / "free").network
    frozen = train(make_config(training__frozen=["static_tokens"]), own_directory / "frozen")
    first = train(
        make_config(training__frozen=["static_tokens"], training__num_epochs=2),
        own_directory / "again",
    ).network
    (kept,) = frozen.network.get_layer("static_tokens").get_weights()
    np.testing.assert_array_equal(kept, first.get_layer("static_tokens").get_weights()[0])
    assert not np.array_equal(kept, free.get_layer("static_tokens").get_weights()[0])
    (layer,) = [each for each in frozen.layers if each.path == "static_tokens"]
    assert (layer.trainable, layer.is_frozen) == (0, True)
    assert {"path": "static_tokens", "trainable": 0, "total": layer.total, "is_frozen": True} in (
        read_json(own_directory / "frozen" / "summary.json")["layers"]
    )


def test_a_pattern_that_matches_nothing_is_refused_before_a_directory_is_made(
    make_config, own_directory
):
    with pytest.raises(ModelError, match="did you mean 'static_tokens'"):
        train(make_config(training__frozen=["static_token"]), own_directory / "run")
    assert not (own_directory / "run").exists()


def test_cross_validation_freezes_the_layers_of_every_fold(make_config, own_directory):
    config = make_config(training__frozen=["static_tokens"], training__num_folds=2)
    run = train(config, own_directory / "run").run
    for fold in run.nested():
        layers = {each["path"]: each for each in read_json(fold.summary_path)["layers"]}
        assert layers["static_tokens"]["is_frozen"]


def test_pictures_are_trained_on_scored_and_explained(picture_config, own_directory, pictures):
    from pipeline.workflows.prediction_run import predict_clips

    trained = train(picture_config(evaluation__figures=True), own_directory / "run")
    frozen = {layer.path for layer in trained.layers if layer.is_frozen}
    assert "static_steps/static_encoder/conv_1" in frozen
    assert not [path for path in frozen if not path.startswith(("static_steps", "dynamic_steps"))]
    prediction = predict_clips(
        DataConfig(features_dir=str(pictures)),
        run_dir=trained.run.path,
        output=own_directory / "scores.csv",
        explain=own_directory / "attention.csv",
    )
    assert len(prediction.table) == 30
    assert len(pd.read_csv(own_directory / "attention.csv")) == 30 * 5 * (3 + 2)
    assert (trained.run.path / "report.html").exists()


def test_encoders_learn_where_patterns_say_so(picture_config, own_directory):
    config = picture_config(training__trainable=["static_steps"], training__frozen=["*/conv_1"])
    trained = train(config, own_directory / "run")
    learning = {layer.path for layer in trained.layers if layer.trainable}
    assert "static_steps/static_encoder/conv_2" in learning
    assert "static_steps/static_encoder/conv_1" not in learning
    assert "dynamic_steps/dynamic_encoder/conv_2" not in learning


def test_pictures_without_an_encoder_are_refused(picture_config, own_directory):
    with pytest.raises(ModelError, match=r"model\.static_encoder is not set"):
        train(picture_config(model__static_encoder=""), own_directory / "run")
