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


def test_the_log_has_measured_times_and_the_keys_of_other_tools(epochs):
    assert time_content(epochs) == {
        "epoch_times": [2.0, 4000.0],
        "validation_times": [0.5, 0.5],
        "epoch_numbers": [1, 2],
        "batch_times": [0.01, 0.02, 0.03] * 2,
        "batch_wait_times": [0.5, 0.0, 0.0] * 2,
        "batch_numbers": [1, 2, 3, 4, 5, 6],
        "total_training_time": 4003.0,
    }


def test_statistics_exclude_the_first_epoch():
    logs = logs_with()
    assert logs.epoch_seconds == pytest.approx([2.8, 0.8, 0.8, 0.8])
    assert (logs.median_epoch, logs.p95_epoch) == pytest.approx((0.8, 0.8))
    assert logs.start_seconds == pytest.approx(2.0)
    assert logs.total_seconds == pytest.approx(5.2)


def test_the_start_of_a_single_epoch_is_its_first_wait():
    logs = logs_with(**{name: values[: len(values) // 4] for name, values in CONTENT.items()})
    assert (logs.median_epoch, logs.start_seconds) == pytest.approx((2.8, 2.0))
    assert check_content(TimeLogs, {"epoch_times": [5.0]}).start_seconds == 0.0


def test_steps_are_split_into_epochs():
    logs = logs_with()
    assert logs.steps_by_epoch.shape == logs.waits_by_epoch.shape == (4, 5)
    assert (logs.is_first_epoch.sum(), logs.is_steady_step.sum()) == (5, 15)
    assert logs.usual_waits.tolist() == [0.01] * 19


def test_incomplete_steps_are_not_summed():
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
        ({"validation_times": [0.25] * 3}, "'validation_times' must have 4 values, but has 3"),
        ({"batch_wait_times": [0.25] * 3}, "'batch_wait_times' must have 20 values, but has 3"),
        ({"epoch_times": [1, -2]}, "must be zero or more, but is -2"),
        ({"epoch_times": [1, None]}, "must be zero or more, but is nan"),
        ({"epoch_times": [1, math.inf]}, "must be zero or more"),
        ({"epoch_times": "text"}, "epoch_times: must be a list of numbers"),
        ({"epoch_times": {"a": 1}}, "epoch_times: must be a list of numbers"),
        ({"breakdown": [1.0]}, "breakdown: must be a JSON object"),
        ({"breakdown": {"step": "x"}}, "breakdown: must be a list of numbers"),
    ],
)
def test_a_damaged_log_is_an_error_with_its_place(changes, message):
    with pytest.raises(RunError, match=message):
        logs_with(**changes)
