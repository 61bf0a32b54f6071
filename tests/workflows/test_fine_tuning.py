"""Frozen and trainable layers of models for features and for images."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.config.schema import DataConfig
from pipeline.core.files import read_json

pytestmark = pytest.mark.slow


def train(config, run_dir):
    from pipeline.workflows.train import run_training

    return run_training(config, run_dir=run_dir)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """30 clips of 15 groups: face crops of 16 pixels and optical flow of 8 pixels."""
    path = tmp_path_factory.mktemp("images")
    numbers = np.random.default_rng(0)
    np.save(path / "static.npy", numbers.integers(0, 256, (30, 3, 16, 16, 3), dtype=np.uint8))
    np.save(path / "dynamic.npy", numbers.normal(size=(30, 2, 8, 8, 4)).astype(np.float16))
    np.save(path / "labels.npy", numbers.random((30, 5)).astype(np.float32))
    table = {"clip_id": [f"c{row}" for row in range(30)], "group": np.arange(30) // 2}
    pd.DataFrame(table).to_csv(path / "clips.csv", index=False)
    return path


@pytest.fixture
def image_config(make_config, images):
    def make(**changes):
        settings = {
            "data__features_dir": str(images),
            "model__static_encoder": "conv",
            "model__dynamic_encoder": "conv",
        }
        return make_config(**{**settings, **changes})

    return make


def first_weights(config):
    """Return the initial weights by layer, which depend on the seed."""
    import keras

    from pipeline.data.feature_set import load_feature_set
    from pipeline.workflows.train import build_for

    keras.utils.set_random_seed(config.seed)
    return weights_of(build_for(config, load_feature_set(Path(config.data.features_dir))))


def test_frozen_layers_keep_their_initial_weights(make_config, own_directory):
    config = make_config(training__frozen=["static_tokens"])
    frozen = train(config, own_directory / "run")
    start, end = first_weights(config), weights_of(frozen.network)
    moved = {name for name in start if not are_equal(start[name], end[name])}
    assert "static_tokens" not in moved
    assert {"dynamic_tokens", "traits"} <= moved
    (layer,) = [each for each in frozen.layers if each.path == "static_tokens"]
    assert (layer.trainable, layer.is_frozen) == (0, True)
    assert {"path": "static_tokens", "trainable": 0, "total": layer.total, "is_frozen": True} in (
        read_json(own_directory / "run" / "summary.json")["layers"]
    )


def test_images_are_scored_and_explained_and_random_frozen_weights_give_a_warning(
    image_config, own_directory, images, caplog
):
    from pipeline.workflows.predict import predict_clips

    frozen = "dynamic_steps/dynamic_encoder/conv_1"
    config = image_config(model__fusion="cross_attention", training__frozen=[frozen])
    run = train(config, own_directory / "run").run
    (warning,) = [each for each in caplog.messages if "random weights" in each]
    assert frozen in warning
    assert read_json(run.summary_path)["frozen_at_random"] == [frozen]
    prediction = predict_clips(
        DataConfig(features_dir=str(images)),
        run_dir=run.path,
        output=own_directory / "scores.csv",
        explain=own_directory / "attention.csv",
    )
    assert len(prediction.table) == 30
    assert len(pd.read_csv(own_directory / "attention.csv")) == 30 * 5 * (3 + 2)


BACKBONE = "static_steps/static_encoder"
FUSION = "complete_personality_model"
NEVER_MOVED = (f"{FUSION}/static_standardize", f"{FUSION}/dynamic_standardize")
"""Statistics that do not change, because the output of an encoder is scaled already."""


@pytest.fixture
def backbone(tmp_path):
    """Path of a saved trained network, and its weights by layer."""
    import keras

    layers = [
        keras.Input((None, None, 3)),
        keras.layers.Conv2D(4, 3, name="conv"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Conv2D(5, 3, name="top"),
        keras.layers.GlobalAveragePooling2D(name="mean"),
    ]
    model = keras.Sequential(layers, name="backbone")
    numbers = np.random.default_rng(7)
    for layer in model.layers:
        layer.set_weights([numbers.uniform(0.1, 1, each.shape) for each in layer.get_weights()])
    model.save(tmp_path / "backbone.keras")
    return tmp_path / "backbone.keras", {each.name: each.get_weights() for each in model.layers}


def weights_of(network):
    from pipeline.models.trainability import layers_by_path

    layers = layers_by_path(network)
    return {path: layer.get_weights() for path, layer in layers.items() if layer.weights}


def are_equal(first, second):
    return all((a == b).all() for a, b in zip(first, second, strict=True))


def trained_without_interruption(config, run_dir, encoder):
    del encoder
    return [train(config, run_dir).run]


def trained_in_folds(config, run_dir, encoder):
    del encoder
    training = dataclasses.replace(config.training, num_folds=2)
    run = train(dataclasses.replace(config, training=training), run_dir).run
    return [run, *run.nested()]


def killed_before_the_first_checkpoint(config, run_dir, encoder):
    from pipeline.training.checkpoint import EpochCheckpoint

    return killed_and_resumed(config, run_dir, encoder, EpochCheckpoint, "on_epoch_end")


def killed_after_the_first_checkpoint(config, run_dir, encoder):
    from pipeline.core.run_log import RunLog

    return killed_and_resumed(config, run_dir, encoder, RunLog, "log_checkpoint")


def killed_and_resumed(config, run_dir, encoder, home, name):
    from pipeline.workflows.train import resume_training

    def die(*_):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(home, name, die)
        with pytest.raises(KeyboardInterrupt):
            train(config, run_dir)
    encoder.unlink()  # a run needs the file only at its start
    return [resume_training(run_dir).run]


@pytest.mark.parametrize(
    "trained",
    [
        trained_without_interruption,
        trained_in_folds,
        killed_before_the_first_checkpoint,
        killed_after_the_first_checkpoint,
    ],
)
def test_only_frozen_layers_of_a_loaded_encoder_stay_exactly_the_same(
    trained, image_config, own_directory, backbone
):
    from pipeline.models.persistence import load_model
    from pipeline.models.trainability import count_weights
    from pipeline.workflows.training_steps import choose_layers

    path, stored = backbone
    config = image_config(
        model__static_encoder=str(path),
        training__trainable=[f"{BACKBONE}/top"],
        training__frozen=["static_scale"],
        training__num_epochs=2,
    )
    start = first_weights(config)
    for run in trained(config, own_directory / "run", path):
        network = load_model(run.model_path)
        choose_layers(
            network, config
        )  # the file does not store which layers of the fusion were frozen
        weights = weights_of(network)
        for name in ("conv", "norm"):
            assert are_equal(weights[f"{BACKBONE}/{name}"], stored[name])
        assert are_equal(start[f"{BACKBONE}/top"], stored["top"])
        kept = {name for name, values in weights.items() if are_equal(values, start[name])}
        assert kept == {f"{BACKBONE}/conv", f"{BACKBONE}/norm", "static_scale", *NEVER_MOVED}
        assert num_optimized_weights(run) == count_weights(network).trainable
        assert not (run.checkpoints_dir / "initial.npz").exists()


def num_optimized_weights(run):
    """Return the number of weights with optimizer moments."""
    last = (run.checkpoints_dir / "LAST").read_text().strip()
    with np.load(run.checkpoints_dir / last / "optimizer.npz") as arrays:
        (velocity,) = (arrays[name] for name in arrays.files if name.endswith("/velocity"))
        return velocity.size


def test_a_custom_network_keeps_its_weights_in_folds_and_after_resuming(make_config, own_directory):
    from pipeline.models.persistence import load_model
    from pipeline.workflows.train import resume_training, run_training

    frozen = ["static_*", "dynamic_*", "traits"]
    trained = train(make_config(training__num_epochs=2), own_directory / "first")
    before = weights_of(trained.network)
    config = make_config(training__frozen=frozen, training__num_folds=2, seed=3)

    def die(*_, **__):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.workflows.folds.train_nested", die)
        with pytest.raises(KeyboardInterrupt):
            run_training(
                config, run_dir=own_directory / "run", network=load_model(trained.run.model_path)
            )
    run = resume_training(own_directory / "run").run
    for each in [run, *run.nested()]:
        weights = weights_of(load_model(each.model_path))
        kept = {name for name in before if are_equal(before[name], weights[name])}
        assert kept == {
            name for name in before if name.startswith(("static_", "dynamic_", "traits"))
        }


def test_a_trained_model_keeps_its_feature_statistics(make_config, own_directory, small_features):
    from pipeline.workflows.train import run_training

    trained = train(make_config(), own_directory / "first")
    before = weights_of(trained.network)
    other = own_directory / "features"
    shutil.copytree(small_features, other)
    np.save(other / "static.npy", np.load(other / "static.npy") * 3 + 1)
    config = make_config(data__features_dir=str(other))
    again = run_training(config, run_dir=own_directory / "again", network=trained.network)
    after = weights_of(again.network)
    for name in ("static_standardize", "dynamic_standardize"):
        assert are_equal(after[name], before[name])
    assert not are_equal(after["traits"], before["traits"])
