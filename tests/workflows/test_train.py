import json
import shutil

import numpy as np
import pandas as pd
import pytest

from pipeline.config.loading import load_config
from pipeline.core.errors import (
    ConfigError,
    ModelError,
    PipelineError,
    RunError,
    SplitError,
    TrainingError,
)
from pipeline.core.run_directory import RunDirectory
from pipeline.core.traits import TRAITS
from pipeline.records.manifest import record_files

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(make_config, tmp_path_factory):
    """An untracked run of one epoch."""
    return run_training(make_config(), run_dir=tmp_path_factory.mktemp("trained") / "run")


@pytest.fixture
def copy(trained, own_directory):
    """A writable copy of the run directory."""
    return shutil.copytree(trained.run.path, own_directory / "run")


def run_training(*arguments, **settings):
    from pipeline.workflows import train

    return train.run_training(*arguments, **settings)


def resume_training(run_dir):
    from pipeline.workflows import train

    return train.resume_training(run_dir)


def test_a_run_has_its_configuration_and_a_summary(trained, make_config):
    assert load_config(trained.run.config_path) == make_config()
    summary = json.loads(trained.run.summary_path.read_text())
    assert summary["num_clips"] == {"train": 50, "validation": 10, "test": 0}
    assert summary["num_groups"] == {"train": 10, "validation": 2, "test": 0}
    assert summary["trainable_weights"] > 0


def test_the_network_has_the_weights_of_the_best_epoch(trained):
    from pipeline.models.persistence import load_model

    saved = load_model(trained.run.model_path)
    for one, two in zip(saved.weights, trained.network.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())


def test_intervals_are_calibrated_on_groups_without_training_clips(
    make_config, small_features, own_directory
):
    from pipeline.records.calibration import read_calibration

    marked = shutil.copytree(small_features, own_directory / "marked")
    table = pd.read_csv(marked / "clips.csv")
    # The last of the five clips of each group, and the first two groups as a whole.
    is_held_out = (np.arange(60) % 5 == 4) | (np.arange(60) < 10)
    table["split"] = np.where(is_held_out, "validation", "train")
    table.to_csv(marked / "clips.csv", index=False)
    trained = run_training(make_config(data__features_dir=str(marked)))
    calibration = read_calibration(trained.run.calibration_path, TRAITS)
    assert trained.report.num_groups == 12
    assert (calibration.num_groups, calibration.num_clips) == (2, 10)


def test_a_finished_run_is_resumed_without_changes(trained, copy):
    again = resume_training(copy)
    assert again.history.history == trained.history.history
    assert again.report.metrics == trained.report.metrics


def test_a_run_is_not_resumed_with_other_features(copy, own_directory, small_features):
    features_dir = shutil.copytree(small_features, own_directory / "features")
    config = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(config.replace(str(small_features), str(features_dir)))
    record_files(RunDirectory(copy), copy / "config.yaml")
    labels = np.load(features_dir / "labels.npy")
    labels[0, 0] = 0.123
    np.save(features_dir / "labels.npy", labels)
    with pytest.raises(RunError, match="the features have changed since the run began"):
        resume_training(copy)


def custom_network(width=8):
    import keras

    static, dynamic = keras.Input((3, width), name="static"), keras.Input((3, 4), name="dynamic")
    flat = [keras.layers.Flatten()(each) for each in (static, dynamic)]
    scores = keras.layers.Dense(5, activation="sigmoid")(keras.layers.Concatenate()(flat))
    return keras.Model([static, dynamic], scores, name="mine")


def frozen_network():
    network = custom_network()
    network.trainable = False
    return network


FOLDS = "training__num_folds"


@pytest.mark.parametrize(
    ("overrides", "make_network", "error", "message"),
    [
        ({}, lambda: custom_network(width=512), ModelError, "8 features instead of 512"),
        ({}, frozen_network, TrainingError, "none of its 185 weights is trainable"),
        ({FOLDS: 13}, None, SplitError, "at most 12"),
        ({FOLDS: 13, "data__validation_fraction": 0.0}, None, SplitError, "at most 12"),
        ({FOLDS: 3, "evaluation__by": ["clip_id"]}, None, PipelineError, "60 distinct values"),
        ({"evaluation__by": ["age"]}, None, SplitError, "no column age"),
        ({"data__validation_fraction": 0.0}, None, SplitError, "validation"),
        ({"training__frozen": ["trait"]}, None, ModelError, "did you mean 'traits'"),
    ],
)
def test_an_invalid_experiment_is_an_error_before_a_directory_is_created(
    overrides, make_network, error, message, make_config, own_directory
):
    network = make_network() if make_network else None
    with pytest.raises(error, match=message):
        run_training(make_config(**overrides), network=network)
    assert list(own_directory.iterdir()) == []


def test_tensorboard_must_be_installed(make_config, own_directory, monkeypatch):
    from pipeline.training import checks

    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"tensorboard.*not installed.*\[tensorboard\]"):
        run_training(make_config(**{"training.tensorboard": True}))
    assert list(own_directory.iterdir()) == []


def test_a_custom_model_is_trained(make_config, own_directory):
    finished = run_training(make_config(), run_dir=own_directory / "run", network=custom_network())
    assert finished.network.name == "mine"
    assert np.isfinite(finished.history.history["val_mae"]).all()


def test_a_run_that_was_killed_before_its_first_event_is_resumed(
    make_config, own_directory, monkeypatch
):
    def kill(*_, **__):
        raise SystemExit("killed")

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.workflows.train.train_single", kill)
        with pytest.raises(SystemExit):
            run_training(make_config(), run_dir=own_directory / "run")
    assert resume_training(own_directory / "run").report.num_clips > 0


def test_an_interrupt_after_the_end_advises_to_sync(make_config, own_directory, monkeypatch):
    def interrupt(directory):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.workflows.training_steps.remove_initial", interrupt)
    with pytest.raises(KeyboardInterrupt) as raised:
        run_training(make_config(), run_dir=own_directory / "run")
    (note,) = raised.value.__notes__
    assert "sync --run_dir" in note


def test_a_failed_preparation_leaves_no_directory(make_config, own_directory, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device", "data.json")

    monkeypatch.setattr("pipeline.workflows.train.prepare_directory", fail)
    with pytest.raises(OSError, match="No space left"):
        run_training(make_config(), run_dir=own_directory / "run")
    assert list(own_directory.iterdir()) == []
