import numpy as np
import pytest

from pipeline.core.errors import RunError
from pipeline.core.traits import TRAITS
from pipeline.metrics.regression import METRICS
from pipeline.records.metrics_history import (
    LearningRateLogs,
    MetricsHistory,
    history_content,
    learning_rate_content,
)
from pipeline.records.typed_json import check_content

FIELD_METRICS = {"accuracy", "mae", "mse", "r_squared"} | {
    f"{metric}_{letter}" for metric in ("mae", "mse", "r_squared") for letter in "OCEAN"
}
OWN_METRICS = {
    name
    for metric in ("accuracy", "mae", "mse", "r2", "pcc", "ccc", "r_squared")
    for name in (metric, *(f"{metric}_{trait}" for trait in TRAITS))
}


@pytest.fixture
def two_epochs(record):
    return [
        record(epoch=1, learning_rate=0.02),
        record(epoch=2, first_step=4, learning_rate=0.01, train_seconds=4000.0),
    ]


def test_the_history_has_the_keys_of_other_tools(two_epochs):
    log = history_content(two_epochs)
    total = {"total_training_time_seconds", "total_training_time_formatted"}
    assert set(log) == {"epoch", "batch"} | total
    losses = {"loss", "val_loss", "learning_rate", "epoch_numbers"}
    assert set(log["epoch"]) == losses | {"metrics", "val_metrics"}
    assert set(log["batch"]) == {"loss", "metrics", "learning_rate", "batch_numbers"}
    assert set(log["epoch"]["metrics"]) == OWN_METRICS | FIELD_METRICS | {"lr"}
    assert set(log["epoch"]["val_metrics"]) == OWN_METRICS | FIELD_METRICS
    assert set(log["batch"]["metrics"]) == {"accuracy", "mae", "mse"}


def test_every_list_has_one_value_per_epoch_or_batch(two_epochs):
    history = check_content(MetricsHistory, history_content(two_epochs))
    assert (len(history.epoch.loss), len(history.batch.loss)) == (2, 6)


def test_batch_values_are_the_values_of_the_steps(two_epochs):
    batch = history_content(two_epochs)["batch"]
    assert batch["batch_numbers"] == [1, 2, 3, 4, 5, 6]
    assert batch["loss"] == [0.1, 0.2, 0.3] * 2
    assert batch["metrics"]["mae"][:3] == [0.25, 0.5, 0.75]
    assert batch["metrics"]["accuracy"][:3] == [0.75, 0.5, 0.25]
    second = history_content(two_epochs, frequency=2)["batch"]
    assert second["batch_numbers"] == [2, 4, 6]
    assert second["metrics"]["mae"] == [0.5, 0.25, 0.75]


def test_names_of_other_tools_have_the_same_values(two_epochs):
    metrics = history_content(two_epochs)["epoch"]["metrics"]
    assert metrics["r_squared"] == metrics["r2"]
    assert metrics["r_squared_N"] == metrics["r2_neuroticism"]
    assert metrics["mae_C"] == metrics["mae_conscientiousness"] != metrics["mae_O"]
    assert metrics["lr"] == [0.02, 0.01]


def test_an_epoch_without_validation_has_no_validation_values(record):
    log = history_content([record(val_loss=None, val_metrics=None)])
    assert log["epoch"]["val_loss"] == [None]
    assert log["epoch"]["val_metrics"] == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "00:00:00"), (59.6, "00:01:00"), (3661.0, "01:01:01"), (360_000.0, "100:00:00")],
)
def test_the_total_time_is_formatted(record, seconds, text):
    log = history_content([record(train_seconds=seconds, validation_seconds=0.0)])
    assert log["total_training_time_seconds"] == seconds
    assert log["total_training_time_formatted"] == text


def test_learning_rate_logs_mark_reductions(record):
    rates = [0.1, 0.1, 0.05, 0.05, 0.2]
    records = [record(epoch=n, learning_rate=rate) for n, rate in enumerate(rates, start=1)]
    assert learning_rate_content(records) == {
        "epoch": [1, 2, 3, 4, 5],
        "learning_rate": rates,
        "is_reduction": [False, False, True, False, False],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "learning_rate: field required"),
        ({"learning_rate": [-1]}, "must be zero or more"),
        ({"learning_rate": [1, 2], "epoch": [1]}, "'epoch' must have 2 values, but has 1"),
        ({"learning_rate": [1, 2], "epoch": [1, None]}, "must be ascending"),
    ],
)
def test_a_damaged_learning_rate_log_is_an_error(content, message):
    with pytest.raises(RunError, match=message):
        check_content(LearningRateLogs, content)


def test_missing_epoch_numbers_are_counted():
    assert check_content(LearningRateLogs, {"learning_rate": [1, 2]}).epoch.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "dictionary"),
        ([], "dictionary"),
        ({"epoch": {}}, "epoch_numbers: field required"),
        ({"epoch": {"epoch_numbers": [2, 1]}}, "epoch.epoch_numbers: must be ascending"),
        ({"epoch": {"epoch_numbers": [0]}}, "must be ascending"),
        (
            {"epoch": {"epoch_numbers": [1, 2], "loss": [0.1]}},
            "'loss' must have 2 values, but has 1",
        ),
        ({"epoch": {"epoch_numbers": [1], "loss": ["x"]}}, "epoch.loss: must be a list of numbers"),
        ({"epoch": {"epoch_numbers": [1], "loss": [[0.1]]}}, "must be a list of numbers"),
        ({"epoch": {"epoch_numbers": [1], "metrics": [1]}}, "epoch.metrics: input should be"),
        (
            {"epoch": {"epoch_numbers": [1]}, "batch": {"batch_numbers": [1], "loss": [1, 2]}},
            "'loss' must have 1 values, but has 2",
        ),
    ],
)
def test_a_damaged_history_is_an_error_with_its_place(content, message):
    with pytest.raises(RunError, match=message):
        check_content(MetricsHistory, content)


def test_null_is_read_as_nan():
    content = {"epoch": {"epoch_numbers": [1, 2], "val_loss": [None, 0.5]}}
    history = check_content(MetricsHistory, content)
    assert np.isnan(history.epoch.validation("loss")).tolist() == [True, False]
    assert history.epoch.training("mae").size == 0


def test_only_ocean_traits_have_initials(record):
    scores = {metric: {"openness": 0.1, "honesty": 0.2, "mean": 0.15} for metric in METRICS}
    metrics = history_content([record(metrics=scores)])["epoch"]["metrics"]
    assert metrics["mae_O"] == metrics["mae_openness"] == [0.1]
    assert metrics["r_squared_honesty"] == [0.2]
    assert "mae_H" not in metrics
