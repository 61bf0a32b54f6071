"""The three logs have the keys that tools of the field read, and measured values."""

import pytest

from pipeline.core.traits import TRAITS
from pipeline.training.logs import learning_rate_log, performance_log, time_log

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


class TestMetrics:
    def test_keys_are_those_of_the_contract(self, two_epochs):
        log = performance_log(two_epochs)
        assert set(log) == {
            "epoch",
            "batch",
            "total_training_time_seconds",
            "total_training_time_formatted",
        }
        assert set(log["epoch"]) == {
            "loss",
            "val_loss",
            "metrics",
            "val_metrics",
            "learning_rate",
            "epoch_numbers",
        }
        assert set(log["batch"]) == {"loss", "metrics", "learning_rate", "batch_numbers"}
        assert set(log["epoch"]["metrics"]) == OWN_METRICS | FIELD_METRICS | {"lr"}
        assert set(log["epoch"]["val_metrics"]) == OWN_METRICS | FIELD_METRICS
        assert set(log["batch"]["metrics"]) == {"accuracy", "mae", "mse"}

    def test_every_list_has_one_entry_an_epoch_or_a_batch(self, two_epochs):
        log = performance_log(two_epochs)
        for part, length in (("epoch", 2), ("batch", 6)):
            lists = [value for value in log[part].values() if isinstance(value, list)]
            for metrics in (value for value in log[part].values() if isinstance(value, dict)):
                lists += metrics.values()
            assert {len(values) for values in lists} == {length}

    def test_batch_numbers_are_global_steps(self, two_epochs):
        batch = performance_log(two_epochs)["batch"]
        assert batch["batch_numbers"] == [1, 2, 3, 4, 5, 6]
        assert batch["loss"] == [0.1, 0.2, 0.3] * 2

    def test_accuracy_of_a_batch_is_one_minus_its_error(self, two_epochs):
        metrics = performance_log(two_epochs)["batch"]["metrics"]
        assert metrics["mae"][:3] == [0.25, 0.5, 0.75]
        assert metrics["accuracy"][:3] == [0.75, 0.5, 0.25]

    def test_the_names_of_the_field_stand_for_the_same_values(self, two_epochs):
        metrics = performance_log(two_epochs)["epoch"]["metrics"]
        assert metrics["r_squared"] == metrics["r2"]
        assert metrics["r_squared_N"] == metrics["r2_neuroticism"]
        assert metrics["mae_C"] == metrics["mae_conscientiousness"] != metrics["mae_O"]
        assert metrics["lr"] == [0.02, 0.01]

    def test_an_epoch_without_validation_holds_none(self, record):
        log = performance_log([record(val_loss=None, val_metrics=None)])
        assert log["epoch"]["val_loss"] == [None]
        assert log["epoch"]["val_metrics"] == {}

    def test_long_runs_log_every_so_many_steps(self, two_epochs):
        log = performance_log(two_epochs, frequency=2)
        assert log["batch"]["batch_numbers"] == [2, 4, 6]
        assert log["batch"]["metrics"]["mae"] == [0.5, 0.25, 0.75]

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0.0, "00:00:00"), (59.6, "00:01:00"), (3661.0, "01:01:01"), (360_000.0, "100:00:00")],
    )
    def test_the_total_time_does_not_wrap_after_a_day(self, record, seconds, text):
        epoch = record(train_seconds=seconds, validation_seconds=0.0)
        log = performance_log([epoch])
        assert log["total_training_time_seconds"] == seconds
        assert log["total_training_time_formatted"] == text


class TestTimes:
    def test_keys_are_those_of_the_contract(self, two_epochs):
        log = time_log(two_epochs)
        of_the_field = {"epoch_times", "batch_times", "batch_numbers", "epoch_numbers"}
        own = {"validation_times", "batch_wait_times", "total_training_time"}
        assert set(log) == of_the_field | own

    def test_training_and_validation_stand_apart(self, two_epochs):
        log = time_log(two_epochs)
        assert log["epoch_times"] == [2.0, 4000.0]
        assert log["validation_times"] == [0.5, 0.5]
        assert log["total_training_time"] == 4003.0

    def test_times_of_batches_are_those_measured(self, two_epochs):
        log = time_log(two_epochs)
        assert log["batch_times"] == [0.01, 0.02, 0.03] * 2
        assert log["batch_wait_times"] == [0.5, 0.0, 0.0] * 2
        assert log["batch_numbers"] == [1, 2, 3, 4, 5, 6]


class TestLearningRates:
    def test_keys_are_those_of_the_contract(self, two_epochs):
        log = learning_rate_log(two_epochs)
        assert set(log) == {"epoch", "learning_rate", "is_reduction"}

    def test_a_reduction_is_marked_where_it_took_effect(self, record):
        rates = [0.1, 0.1, 0.05, 0.05, 0.2]
        records = [record(epoch=n, learning_rate=rate) for n, rate in enumerate(rates, start=1)]
        log = learning_rate_log(records)
        assert log["epoch"] == [1, 2, 3, 4, 5]
        assert log["learning_rate"] == rates
        assert log["is_reduction"] == [False, False, True, False, False]
