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
from pipeline.records.manifest import record_files

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(make_config, tmp_path_factory):
    """An untracked run of one epoch."""
    from pipeline.workflows.train import run_training

    return run_training(make_config(), run_dir=tmp_path_factory.mktemp("trained") / "run")


def test_the_run_keeps_what_it_was_asked_for(trained, make_config):
    assert load_config(trained.run.config_path) == make_config()


def test_the_summary_counts_clips_and_groups_of_each_side(trained):
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
    from pipeline.workflows.train import run_training

    marked = shutil.copytree(small_features, own_directory / "marked")
    table = pd.read_csv(marked / "clips.csv")
    # The last of the five clips of each group, and the first two groups as a whole.
    is_held_out = (np.arange(60) % 5 == 4) | (np.arange(60) < 10)
    table["split"] = np.where(is_held_out, "validation", "train")
    table.to_csv(marked / "clips.csv", index=False)
    trained = run_training(make_config(data__features_dir=str(marked)))
    calibration = read_calibration(trained.run.calibration_path)
    assert trained.report.num_groups == 12
    assert (calibration.num_groups, calibration.num_clips) == (2, 10)


def test_an_untracked_run_has_nothing_to_deliver(trained):
    assert trained.undelivered is None
    assert not trained.run.tracking_path.exists()


def test_a_finished_run_is_resumed_to_what_it_was(trained):
    from pipeline.workflows.train import resume_training

    again = resume_training(trained.run.path)
    assert again.history.history == trained.history.history
    assert again.report.metrics == trained.report.metrics


def test_a_run_whose_run_log_is_gone_is_refused_by_its_name(trained, own_directory):
    from pipeline.workflows.train import resume_training

    run_dir = shutil.copytree(trained.run.path, own_directory / "run")
    (run_dir / "events.jsonl").unlink()
    with pytest.raises(RunError, match=r"events\.jsonl: is missing"):
        resume_training(run_dir)


def test_a_run_does_not_go_on_with_other_features(trained, own_directory, small_features):
    from pipeline.workflows.train import resume_training

    copied = own_directory / "features"
    shutil.copytree(small_features, copied)
    run_dir = own_directory / "run"
    shutil.copytree(trained.run.path, run_dir)
    config = (run_dir / "config.yaml").read_text()
    (run_dir / "config.yaml").write_text(config.replace(str(small_features), str(copied)))
    record_files(RunDirectory(run_dir), run_dir / "config.yaml")
    labels = np.load(copied / "labels.npy")
    labels[0, 0] = 0.123
    np.save(copied / "labels.npy", labels)
    with pytest.raises(RunError, match="the features have changed since the run began"):
        resume_training(run_dir)


def test_a_run_does_not_go_on_with_another_setting(trained, own_directory):
    from pipeline.workflows.train import resume_training

    run_dir = own_directory / "run"
    shutil.copytree(trained.run.path, run_dir)
    config = (run_dir / "config.yaml").read_text()
    (run_dir / "config.yaml").write_text(config.replace("weight_decay: 0.01", "weight_decay: 0.1"))
    with pytest.raises(RunError, match=r"config\.yaml: is not as the run wrote it.* a new run"):
        resume_training(run_dir)


def test_a_run_of_an_older_version_goes_on_without_digests(trained, own_directory):
    from pipeline.workflows.train import resume_training

    run_dir = own_directory / "run"
    shutil.copytree(trained.run.path, run_dir)
    (run_dir / "manifest.json").unlink()
    assert resume_training(run_dir).history.history == trained.history.history


def foreign_network(width=8):
    import keras

    static, dynamic = keras.Input((3, width), name="static"), keras.Input((3, 4), name="dynamic")
    flat = [keras.layers.Flatten()(each) for each in (static, dynamic)]
    scores = keras.layers.Dense(5, activation="sigmoid")(keras.layers.Concatenate()(flat))
    return keras.Model([static, dynamic], scores, name="mine")


def frozen_network():
    network = foreign_network()
    network.trainable = False
    return network


@pytest.mark.parametrize(
    ("overrides", "make_network", "error", "words"),
    [
        ({}, lambda: foreign_network(width=512), ModelError, "8 features instead of 512"),
        ({}, frozen_network, TrainingError, "none of its 185 weights is trainable"),
        ({"training__num_folds": 13}, None, SplitError, "at most 12"),
        (
            # Folds hold clips out themselves.
            {"training__num_folds": 13, "data__validation_fraction": 0.0},
            None,
            SplitError,
            "at most 12",
        ),
        (
            {"training__num_folds": 3, "evaluation__by": ["clip_id"]},
            None,
            PipelineError,
            "60 distinct values, at most 50",
        ),
        ({"evaluation__by": ["age"]}, None, SplitError, "no column age"),
        ({"data__validation_fraction": 0.0}, None, SplitError, "no clips for validation"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_a_directory_is_made(
    overrides, make_network, error, words, make_config, own_directory
):
    from pipeline.workflows.train import run_training

    network = make_network() if make_network else None
    with pytest.raises(error, match=words):
        run_training(make_config(**overrides), network=network)
    assert list(own_directory.iterdir()) == []


def test_a_model_of_the_users_own_is_trained(make_config, own_directory):
    from pipeline.workflows.train import run_training

    finished = run_training(make_config(), run_dir=own_directory / "run", network=foreign_network())
    assert finished.network.name == "mine"
    assert np.isfinite(finished.history.history["val_mae"]).all()


def test_tensorboard_is_refused_where_it_is_not_installed(make_config, tmp_path, monkeypatch):
    from pipeline.training import fit
    from pipeline.workflows.train import run_training

    monkeypatch.setattr(fit.importlib.util, "find_spec", lambda name: None)
    config = make_config(**{"training.tensorboard": True})
    with pytest.raises(ConfigError, match=r"tensorboard.*not installed.*'\.\[tensorboard\]'"):
        run_training(config, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_interrupt_after_the_end_does_not_advise_to_resume(
    make_config, own_directory, monkeypatch
):
    from pipeline.workflows import single_run
    from pipeline.workflows.train import run_training

    def interrupted(directory):
        raise KeyboardInterrupt

    monkeypatch.setattr(single_run, "remove_initial", interrupted)
    with pytest.raises(KeyboardInterrupt) as raised:
        run_training(make_config(), run_dir=own_directory / "run")
    (note,) = raised.value.__notes__
    assert "The run has finished." in note
    assert "sync --run_dir" in note


def test_a_run_that_was_killed_before_its_first_event_is_resumed(
    make_config, own_directory, monkeypatch
):
    from pipeline.workflows import train as training_run

    def killed(*_, **__):
        raise SystemExit("killed")

    with monkeypatch.context() as patch:
        patch.setattr(training_run, "train_single", killed)
        with pytest.raises(SystemExit):
            training_run.run_training(make_config(), run_dir=own_directory / "run")
    resumed = training_run.resume_training(own_directory / "run")
    assert resumed.report.num_clips > 0


def test_a_run_that_cannot_be_prepared_leaves_no_directory(make_config, own_directory, monkeypatch):
    from pipeline.workflows import train as training_run

    def full(*_):
        raise OSError(28, "No space left on device", "data.json")

    monkeypatch.setattr(training_run, "prepare_directory", full)
    with pytest.raises(OSError, match="No space left"):
        training_run.run_training(make_config(), run_dir=own_directory / "run")
    assert list(own_directory.iterdir()) == []
