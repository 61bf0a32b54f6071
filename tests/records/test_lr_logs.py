import pytest

from pipeline.core.errors import RunError
from pipeline.records.lr_logs import LearningRateLogs, learning_rate_content
from pipeline.records.typed_json import check_content


class TestLearningRates:
    def test_keys_are_those_of_the_contract(self, record):
        log = learning_rate_content([record()])
        assert set(log) == {"epoch", "learning_rate", "is_reduction"}

    def test_a_reduction_is_marked_where_it_took_effect(self, record):
        rates = [0.1, 0.1, 0.05, 0.05, 0.2]
        records = [record(epoch=n, learning_rate=rate) for n, rate in enumerate(rates, start=1)]
        log = learning_rate_content(records)
        assert log["epoch"] == [1, 2, 3, 4, 5]
        assert log["learning_rate"] == rates
        assert log["is_reduction"] == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "learning_rate: field required"),
        ({"learning_rate": [-1]}, "must hold values of zero or more"),
        ({"learning_rate": [1, 2], "epoch": [1]}, "'epoch' must hold 2 values; found 1"),
        ({"learning_rate": [1, 2], "epoch": [1, None]}, "must ascend from 1"),
    ],
)
def test_a_damaged_log_is_named(content, message):
    with pytest.raises(RunError, match=message):
        check_content(LearningRateLogs, content)


def test_epochs_without_numbers_are_counted():
    assert check_content(LearningRateLogs, {"learning_rate": [1, 2]}).epoch.tolist() == [1, 2]
