"""The advice on speed is followed, on a small run, and helps."""

import numpy as np
import pytest

from pipeline.config.loading import load_config
from pipeline.config.schema import SyntheticConfig, to_dict
from pipeline.core.files import read_json
from pipeline.data.synthetic import ensure_synthetic_set
from pipeline.evaluation.recommendations import recommendations
from pipeline.workflows.training_run import run_training

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
        advice = recommendations(times, history, to_dict(config), num_train_clips=num_train_clips)
        return times, history, advice

    return run


@pytest.fixture(scope="module")
def many_clips(tmp_path_factory):
    """Clips enough for their steps to be most of an epoch."""
    path = tmp_path_factory.mktemp("many") / "features"
    ensure_synthetic_set(path, SyntheticConfig(num_clips=1200, num_steps=4))
    return str(path)


def advised(advice, setting):
    """Return the settings of the advice that is about `setting`."""
    return next(each.overrides for each in advice if setting in each.overrides)


def test_more_steps_in_a_call_make_an_epoch_shorter(train):
    settings = {"training.num_epochs": 5, "training.batch_size": 1}
    before, _, advice = train("before", **settings, **{"training.steps_per_execution": 1})
    after, _, _ = train("after", **settings, **advised(advice, "training.steps_per_execution"))
    # What else the machine does only ever adds to a time: the shortest says what it takes.
    assert np.min(after["epoch_times"]) < np.min(before["epoch_times"])


def least_in_turn(train, measure, settings, change, *, num_rounds=2):
    """Return the least of a measure without and with a change that is advised.

    They are trained in turn: whatever else the machine does meets both.
    """
    before, after, advice = [], [], []
    for number in range(num_rounds):
        times, _, found = train(f"before-{number}", **settings)
        before.append(measure(times))
        advice += [each.overrides for each in found]
        times, _, _ = train(f"after-{number}", **settings | change)
        after.append(measure(times))
    assert change in advice
    return min(before), min(after)


def test_features_in_memory_make_steps_wait_less(train, tmp_path):
    path = tmp_path / "wide"
    wide = {"num_clips": 240, "num_steps": 16, "static_dim": 256, "dynamic_dim": 128}
    ensure_synthetic_set(path, SyntheticConfig(**wide))
    settings = {"training.num_epochs": 4, "training.batch_size": 8, "training.cache": "disk"}
    before, after = least_in_turn(
        train,
        lambda times: np.median(times["batch_wait_times"]),
        settings | {"data.features_dir": str(path)},
        {"training.cache": "memory"},
        num_rounds=3,
    )
    assert after < before


def test_larger_batches_make_an_epoch_shorter(train, many_clips):
    settings = {"training.num_epochs": 6, "training.batch_size": 7}
    before, after = least_in_turn(
        train,
        lambda times: np.min(times["epoch_times"]),
        settings | {"data.features_dir": many_clips},
        {"training.batch_size": 14},
    )
    assert after < before


def test_fewer_held_out_clips_make_validation_shorter(train, many_clips):
    settings = {"training.num_epochs": 3, "training.batch_size": 1, "data.features_dir": many_clips}
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
        "training.num_epochs": 30,
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
