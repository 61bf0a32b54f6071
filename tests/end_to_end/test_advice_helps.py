"""A small run is faster with the recommended settings."""

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
    """Return a function that trains and returns the times, the history and the advice."""

    def run(name, overrides):
        config = load_config(None, {**SMALL, "data.features_dir": str(features_dir), **overrides})
        trained = run_training(config, run_dir=tmp_path / name)
        times = read_time_logs(trained.run.time_dir / "time_logs.json")
        history = read_history(trained.run.metrics_dir / "metrics_history.json")
        num_train_clips = read_json(trained.run.summary_path)["num_clips"]["train"]
        advice = recommendations(times, history, config, num_train_clips=num_train_clips)
        return times, history, advice

    return run


def advised(advice, setting):
    """Return the recommended value of a setting, as {setting: value}."""
    values = [re.search(rf"{setting}=(\w+)", each.recommendation) for each in advice]
    return {setting: next(yaml.safe_load(value[1]) for value in values if value)}


@pytest.fixture
def slow_disk(monkeypatch):
    """Make each read of a batch 100 ms slower, much longer than a step on a busy machine."""
    read = LabelledBatches._read

    def read_slowly(self, indices):
        time.sleep(0.1)
        return read(self, indices)

    monkeypatch.setattr(LabelledBatches, "_read", read_slowly)


@pytest.fixture
def slow_launch(monkeypatch):
    """Make each call of the compiled steps 5 ms slower, so that a busy machine does not matter."""
    repeat = instrumented_model.InstrumentedModel._repeat

    def repeat_slowly(self, step):
        launch = repeat(self, step)

        def launch_slowly(*arguments):
            time.sleep(0.005)
            return launch(*arguments)

        return launch_slowly

    monkeypatch.setattr(instrumented_model.InstrumentedModel, "_repeat", repeat_slowly)


@pytest.fixture
def slow_device(monkeypatch):
    """Make each step 2 ms slower, because each step reads the clock twice."""

    def clock():
        time.sleep(0.001)
        return np.float64(time.time())

    monkeypatch.setattr(instrumented_model, "_clock", clock)


@pytest.mark.parametrize(
    ("setting", "device", "overrides", "measured"),
    [
        (
            "training.steps_per_execution",
            "slow_launch",
            {"num_epochs": 3, "batch_size": 1, "steps_per_execution": 1},
            "epoch_times",
        ),
        (
            "training.cache",
            "slow_disk",
            {"num_epochs": 2, "batch_size": 8, "cache": "disk"},
            "batch_wait_times",
        ),
        ("training.batch_size", "slow_device", {"num_epochs": 4, "batch_size": 7}, "epoch_times"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_recommended_setting_saves_time(setting, device, overrides, measured, train, request):
    request.getfixturevalue(device)
    settings = {f"training.{name}": value for name, value in overrides.items()}
    before, _, advice = train("before", settings)
    after, _, _ = train("after", settings | advised(advice, setting))
    # Other programs can only slow epochs down, so the shortest epoch is the best measurement.
    statistic = np.min if measured == "epoch_times" else np.median
    assert statistic(getattr(after, measured)) < statistic(getattr(before, measured))


def test_early_stopping_saves_epochs_and_keeps_the_best_one(train):
    settings = {
        "training.num_epochs": 16,
        "training.learning_rate": 0.01,
        "training.weight_decay": 0.0,
        "model.fusion_dim": 32,
        "model.dropout_rate": 0.0,
        "training.schedule": "constant",
        "training.batch_size": 64,
    }
    before, history, advice = train("before", settings)
    patience = advised(advice, "training.early_stopping_patience")
    after, shorter, _ = train("after", settings | patience)
    assert after.num_epochs < before.num_epochs
    assert shorter.epoch.validation("mae").min() == history.epoch.validation("mae").min()
