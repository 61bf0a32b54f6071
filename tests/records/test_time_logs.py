import math

import pytest

from pipeline.core.errors import RunError
from pipeline.records.time_logs import TimeLogs, read_time_logs, time_content, write_time_logs
from pipeline.records.typed_json import check_content

CONTENT = {
    "epoch_times": [2.55, 0.55, 0.55, 0.55],
    "validation_times": [0.25] * 4,
    "epoch_numbers": [1, 2, 3, 4],
    "batch_times": [0.1] * 20,
    "batch_wait_times": [2.0, *[0.01] * 19],
    "batch_numbers": list(range(1, 21)),
}
SOME_STEPS = {
    name: CONTENT[name][1::2] for name in ("batch_times", "batch_wait_times", "batch_numbers")
}


def logs_with(**changes):
    return check_content(TimeLogs, {**CONTENT, **changes})


@pytest.fixture
def epochs(record):
    return [record(epoch=1), record(epoch=2, first_step=4, train_seconds=4000.0)]


class TestTimes:
    def test_keys_are_those_of_the_contract(self, epochs):
        log = time_content(epochs)
        of_the_field = {"epoch_times", "batch_times", "batch_numbers", "epoch_numbers"}
        own = {"validation_times", "batch_wait_times", "total_training_time"}
        assert set(log) == of_the_field | own

    def test_training_and_validation_stand_apart(self, epochs):
        log = time_content(epochs)
        assert log["epoch_times"] == [2.0, 4000.0]
        assert log["validation_times"] == [0.5, 0.5]
        assert log["total_training_time"] == 4003.0

    def test_times_of_batches_are_those_measured(self, epochs):
        log = time_content(epochs)
        assert log["batch_times"] == [0.01, 0.02, 0.03] * 2
        assert log["batch_wait_times"] == [0.5, 0.0, 0.0] * 2
        assert log["batch_numbers"] == [1, 2, 3, 4, 5, 6]


def test_statistics_leave_the_first_epoch_out():
    logs = logs_with()
    assert logs.epoch_seconds == pytest.approx([2.8, 0.8, 0.8, 0.8])
    assert (logs.median_epoch, logs.p95_epoch) == pytest.approx((0.8, 0.8))
    assert logs.start_seconds == pytest.approx(2.0)
    assert logs.total_seconds == pytest.approx(5.2)


def test_a_single_epoch_starts_up_until_its_first_step():
    logs = logs_with(**{name: values[: len(values) // 4] for name, values in CONTENT.items()})
    assert (logs.median_epoch, logs.start_seconds) == pytest.approx((2.8, 2.0))
    assert check_content(TimeLogs, {"epoch_times": [5.0]}).start_seconds == 0.0


def test_steps_are_split_into_epochs():
    logs = logs_with()
    assert logs.steps_by_epoch.shape == logs.waits_by_epoch.shape == (4, 5)
    assert (logs.is_first_epoch.sum(), logs.is_steady_step.sum()) == (5, 15)
    assert logs.usual_waits.tolist() == [0.01] * 19


def test_some_of_the_steps_are_not_summed():
    logs = logs_with(**SOME_STEPS)
    assert not logs.has_all_steps
    assert logs.waits_by_epoch.shape == (4, 0)
    assert logs.is_first_epoch.sum() == 2  # steps 2 and 4 of 5
    assert set(logs.parts()) == {"training", "validation"}


def test_parts_are_derived_from_epochs_and_steps():
    expected = {"start": 2.0, "step": 2.0, "validation": 1.0, "wait": 0.19, "rest": 0.01}
    assert logs_with().parts() == pytest.approx(expected)
    assert list(logs_with().parts())[-2:] == ["wait", "rest"]


def test_a_resumption_counts_as_a_start():
    waits = list(CONTENT["batch_wait_times"])
    waits[10] += 5.0
    logs = logs_with(batch_wait_times=waits, epoch_times=[2.55, 0.55, 5.55, 0.55])
    assert logs.parts()["start"] == pytest.approx(7.01)


def test_measured_parts_are_summed():
    measured = {"step": [1.0, None, 2.0], "figures": 5, "logging": 0, "input": None}
    assert logs_with(breakdown=measured).parts() == {"figures": 5.0, "step": 3.0}


def test_missing_lists_are_filled():
    logs = check_content(TimeLogs, {"epoch_times": [1.0, 2.0], "batch_times": [0.1]})
    assert logs.validation_times.tolist() == [0, 0]
    assert (logs.epoch_numbers.tolist(), logs.batch_numbers.tolist()) == ([1, 2], [1])


def test_a_written_log_reads_back_the_same(tmp_path):
    logs = logs_with(breakdown={"step": 3.0})
    write_time_logs(tmp_path / "time_logs.json", logs)
    back = read_time_logs(tmp_path / "time_logs.json")
    assert back.parts() == {"step": 3.0}
    assert back.batch_wait_times.tolist() == CONTENT["batch_wait_times"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation_times": [0.25] * 3}, "'validation_times' must hold 4 values; found 3"),
        ({"batch_wait_times": [0.25] * 3}, "'batch_wait_times' must hold 20 values; found 3"),
        ({"epoch_times": [1, -2]}, "must hold values of zero or more; found -2"),
        ({"epoch_times": [1, None]}, "must hold values of zero or more; found nan"),
        ({"epoch_times": [1, math.inf]}, "must hold values of zero or more"),
        ({"epoch_times": "text"}, "epoch_times: must be a list of numbers"),
        ({"epoch_times": {"a": 1}}, "epoch_times: must be a list of numbers"),
        ({"breakdown": [1.0]}, "breakdown: must be a JSON object"),
        ({"breakdown": {"step": "x"}}, "breakdown: must be a list of numbers"),
    ],
)
def test_a_damaged_log_is_named_with_its_place(changes, message):
    with pytest.raises(RunError, match=message):
        logs_with(**changes)
