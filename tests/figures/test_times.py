import numpy as np
import pytest

from pipeline.core.errors import PipelineError
from pipeline.figures.spec import NothingToDraw
from pipeline.figures.time.times import epoch_times, step_times, time_parts


def test_the_first_epoch_is_left_out_of_the_distribution(time_logs):
    times = epoch_times(time_logs)
    assert times.total == pytest.approx([2.8, 0.8, 0.8, 0.8])
    assert times.median == pytest.approx(0.8)
    assert times.p95 == pytest.approx(0.8)


def test_a_single_epoch_is_its_own_distribution(make_time_logs):
    assert epoch_times(make_time_logs(1)).median == pytest.approx(2.8)


def test_rare_long_epochs_are_outliers(make_time_logs):
    logs = make_time_logs(60)
    logs["epoch_times"][40] = 9.0
    assert epoch_times(logs).is_outlier.nonzero()[0].tolist() == [0, 40]


def test_frequent_long_epochs_are_none(make_time_logs):
    logs = make_time_logs(10)
    logs["epoch_times"][4:8] = [9.0] * 4
    assert not epoch_times(logs).is_outlier.any()


def test_a_run_without_validation_spends_nothing_on_it(time_logs):
    time_logs["validation_times"] = []
    assert epoch_times(time_logs).validation.tolist() == [0] * 4


def test_the_steps_of_the_first_epoch_stand_apart(time_logs):
    times = step_times(time_logs)
    assert times.is_first_epoch.sum() == 5
    assert times.steady.sum() == 15
    assert times.is_complete


def test_steps_that_are_logged_now_and_then_are_no_complete_record(time_logs):
    for name in ("batch_times", "batch_wait_times", "batch_numbers"):
        time_logs[name] = time_logs[name][1::2]
    times = step_times(time_logs)
    assert not times.is_complete
    assert times.is_first_epoch.sum() == 2  # steps 2 and 4 of 5


def test_parts_are_cut_out_of_the_measured_times(time_logs):
    parts = time_parts(time_logs)
    assert parts == pytest.approx(
        {"start": 2.0, "step": 2.0, "validation": 1.0, "wait": 0.19, "rest": 0.01}
    )
    assert list(parts)[-2:] == ["wait", "rest"]


def test_parts_add_up_to_the_time_of_the_epochs(time_logs):
    assert sum(time_parts(time_logs).values()) == pytest.approx(epoch_times(time_logs).total.sum())


def test_the_start_of_a_resumed_run_is_a_start_too(time_logs):
    time_logs["batch_wait_times"][10] += 5.0
    time_logs["epoch_times"][2] += 5.0
    assert time_parts(time_logs)["start"] == pytest.approx(7.01)


def test_sums_over_some_of_the_steps_are_not_shown(time_logs):
    for name in ("batch_times", "batch_wait_times", "batch_numbers"):
        time_logs[name] = time_logs[name][1::2]
    assert set(time_parts(time_logs)) == {"training", "validation"}


def test_without_steps_training_and_validation_are_told_apart(time_logs):
    time_logs["batch_times"] = []
    assert time_parts(time_logs) == pytest.approx({"training": 4.2, "validation": 1.0})


def test_what_the_run_measured_itself_is_taken_as_it_is(time_logs):
    time_logs["breakdown"] = {"step": [1.0, None, 2.0], "figures": 5, "logging": 0, "input": None}
    assert time_parts(time_logs) == {"figures": 5.0, "step": 3.0}


def test_a_run_before_its_first_epoch_has_nothing_to_draw(make_time_logs):
    logs = make_time_logs(0)
    for function in (epoch_times, step_times, time_parts):
        with pytest.raises(NothingToDraw):
            function(logs)


def test_a_torn_log_is_refused(time_logs):
    time_logs["validation_times"].pop()
    with pytest.raises(PipelineError, match=r"time_logs\.json: 'validation_times' must hold 4"):
        epoch_times(time_logs)


def test_steps_without_numbers_are_counted(time_logs):
    del time_logs["batch_numbers"]
    assert step_times(time_logs).steps.tolist() == list(np.arange(1, 21))
