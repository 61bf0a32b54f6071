"""The advice on speed is followed, on a small run, and helps."""

import numpy as np
import pytest

from pipeline.config.loading import load_config
from pipeline.config.schema import to_dict
from pipeline.core.files import read_json
from pipeline.evaluation.recommendations import recommendations
from pipeline.workflows.training_run import run_training

pytestmark = pytest.mark.slow

SMALL = {
    "model.fusion_dim": 8,
    "model.num_heads": 1,
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
        advice = recommendations(times, history, to_dict(config), num_train_clips=num_train_clips)
        return times, history, advice

    return run


def test_more_steps_in_a_call_make_an_epoch_shorter(train):
    settings = {"training.num_epochs": 8, "training.batch_size": 1}
    before, _, advice = train("before", **settings, **{"training.steps_per_execution": 1})
    overrides = next(
        each.overrides for each in advice if "training.steps_per_execution" in each.overrides
    )
    after, _, _ = train("after", **settings, **overrides)
    # What else the machine does only ever adds to an epoch: the shortest says what it takes.
    assert np.min(after["epoch_times"]) < np.min(before["epoch_times"])


def test_stopping_early_saves_the_epochs_after_the_best_and_keeps_it(train):
    settings = {
        "training.num_epochs": 30,
        "training.learning_rate": 0.01,
        "training.weight_decay": 0.0,
        "model.fusion_dim": 32,
        "model.dropout_rate": 0.0,
        "training.schedule": "constant",
        "training.batch_size": 64,
    }
    before, history, advice = train("before", **settings)
    overrides = next(
        each.overrides for each in advice if "training.early_stopping_patience" in each.overrides
    )
    after, shorter, _ = train("after", **settings, **overrides)
    assert len(after["epoch_times"]) < len(before["epoch_times"])
    best = min(history["epoch"]["val_metrics"]["mae"])
    assert min(shorter["epoch"]["val_metrics"]["mae"]) == best
