"""The advice on speed is followed, on a small run, and helps."""

import re
import time

import numpy as np
import pytest
import yaml

from pipeline.config.loading import load_config
from pipeline.core.files import read_json
from pipeline.data.batches import LabelledBatches
from pipeline.evaluation.speed_advice import recommendations
from pipeline.records.metrics_history import read_history
from pipeline.records.time_logs import read_time_logs
from pipeline.training import instrumented_model
from pipeline.workflows.train import run_training

pytestmark = pytest.mark.slow

SMALL = {
    "model.fusion": "concat",
    "model.fusion_dim": 8,
    "evaluation.figures": False,
    "evaluation.num_resamples": 100,
    "tracking.enabled": False,
    "tracking.system_metrics": False,
}


@pytest.fixture
def train(features_dir, tmp_path):
    """Return a function that trains and gives the time log and the advice on it."""

    def run(name, **overrides):
        settings = {**SMALL, "data.features_dir": str(features_dir), **overrides}
        config = load_config(None, settings)
        finished = run_training(config, run_dir=tmp_path / name)
        times = read_json(finished.run.time_dir / "time_logs.json")
        history = read_json(finished.run.metrics_dir / "metrics_history.json")
        num_train_clips = read_json(finished.run.summary_path)["num_clips"]["train"]
        advice = recommendations(
            read_time_logs(finished.run.time_dir / "time_logs.json"),
            read_history(finished.run.metrics_dir / "metrics_history.json"),
            config,
            num_train_clips=num_train_clips,
        )
        return times, history, advice

    return run


def advised(advice, setting):
    """Return the settings of the advice that is about `setting`."""
    values = [re.search(rf"{setting}=(\w+)", each.recommendation) for each in advice]
    return {setting: next(yaml.safe_load(value[1]) for value in values if value)}


def test_more_steps_in_a_call_make_an_epoch_shorter(train):
    settings = {"training.num_epochs": 3, "training.batch_size": 1}
    before, _, advice = train("before", **settings, **{"training.steps_per_execution": 1})
    after, _, _ = train("after", **settings, **advised(advice, "training.steps_per_execution"))
    # What else the machine does only ever adds to a time: the shortest says what it takes.
    assert np.min(after["epoch_times"]) < np.min(before["epoch_times"])


@pytest.fixture
def slow_disk(monkeypatch):
    """A disk, or a network, that takes a hundredth of a second for a batch."""
    read = LabelledBatches._read

    def read_slowly(self, indices):
        time.sleep(0.01)
        return read(self, indices)

    monkeypatch.setattr(LabelledBatches, "_read", read_slowly)


def test_features_in_memory_make_steps_wait_less(train, slow_disk):
    settings = {"training.num_epochs": 2, "training.batch_size": 8, "training.cache": "disk"}
    before, _, advice = train("before", **settings)
    after, _, _ = train("after", **settings | advised(advice, "training.cache"))
    assert np.median(after["batch_wait_times"]) < np.median(before["batch_wait_times"])


@pytest.fixture
def far_device(monkeypatch):
    """A device that a step takes two thousandths of a second to reach, whatever its size."""

    def clock():
        time.sleep(0.001)  # read when a step begins and when it ends
        return np.float64(time.time())

    monkeypatch.setattr(instrumented_model, "_clock", clock)


def test_larger_batches_make_an_epoch_shorter(train, far_device):
    settings = {"training.num_epochs": 4, "training.batch_size": 7}
    before, _, advice = train("before", **settings)
    after, _, _ = train("after", **settings | advised(advice, "training.batch_size"))
    assert np.min(after["epoch_times"]) < np.min(before["epoch_times"])


def test_fewer_held_out_clips_make_validation_shorter(train, slow_disk):
    settings = {"training.num_epochs": 3, "training.batch_size": 3, "training.cache": "disk"}
    before, _, advice = train("before", **settings, **{"data.validation_fraction": 0.9})
    assert "Validation takes long" in [each.issue for each in advice]
    after, _, _ = train("after", **settings, **{"data.validation_fraction": 0.45})
    assert np.min(after["validation_times"]) < np.min(before["validation_times"])


def test_a_longer_run_makes_an_epoch_cheaper(train):
    before, _, advice = train("before", **{"training.num_epochs": 2})
    assert "Starting up dominates the run" in [each.issue for each in advice]
    after, _, _ = train("after", **{"training.num_epochs": 4})
    assert after["total_training_time"] / 4 < before["total_training_time"] / 2


def test_without_tensorboard_callbacks_take_less_time(train):
    pytest.importorskip("tensorboard")
    settings = {"training.num_epochs": 6, "evaluation.figures": True}
    before, _, advice = train("before", **settings, **{"training.tensorboard": True})
    after, _, _ = train("after", **settings, **advised(advice, "training.tensorboard"))
    assert after["breakdown"]["callbacks"] < before["breakdown"]["callbacks"]


def test_stopping_early_saves_the_epochs_after_the_best_and_keeps_it(train):
    settings = {
        "training.num_epochs": 16,
        "training.learning_rate": 0.01,
        "training.weight_decay": 0.0,
        "model.fusion_dim": 32,
        "model.dropout_rate": 0.0,
        "training.schedule": "constant",
        "training.batch_size": 64,
    }
    before, history, advice = train("before", **settings)
    patience = advised(advice, "training.early_stopping_patience")
    after, shorter, _ = train("after", **settings, **patience)
    assert len(after["epoch_times"]) < len(before["epoch_times"])
    best = min(history["epoch"]["val_metrics"]["mae"])
    assert min(shorter["epoch"]["val_metrics"]["mae"]) == best
