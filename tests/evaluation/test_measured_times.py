import numpy as np
import pytest

from pipeline.core.errors import RunError
from pipeline.evaluation.measured_times import measured_times


@pytest.fixture
def time_logs():
    return {
        "epoch_times": [5.0, 1.0, 1.2],
        "validation_times": [0.5, 0.5, 0.5],
        "batch_times": [0.4] * 6,
        "batch_wait_times": [4.0, *[0.1] * 5],
        "batch_numbers": [1, 2, 3, 4, 5, 6],
    }


def test_steps_are_cut_into_epochs(time_logs):
    times = measured_times(time_logs)
    assert times.steps.shape == (3, 2)
    assert times.waits[0].tolist() == [4.0, 0.1]
    assert (times.num_epochs, times.steps_per_epoch) == (3, 2)


def test_the_median_epoch_leaves_the_first_one_out(time_logs):
    times = measured_times(time_logs)
    assert times.epoch_seconds == pytest.approx(1.6)
    assert times.total == pytest.approx(8.7)


def test_starting_up_is_what_the_first_epoch_took_beyond_a_median_one(time_logs):
    assert measured_times(time_logs).start_seconds == pytest.approx(5.5 - 1.6)


def test_a_single_epoch_starts_up_until_its_first_step():
    logs = {
        "epoch_times": [5.0],
        "batch_times": [0.4, 0.4],
        "batch_wait_times": [4.0, 0.1],
        "batch_numbers": [1, 2],
    }
    assert measured_times(logs).start_seconds == 4.0
    assert measured_times({"epoch_times": [5.0]}).start_seconds == 0.0


def test_usual_waits_leave_the_starts_out(time_logs):
    time_logs["batch_wait_times"][4] = 5.0  # a run that was resumed before its last epoch
    assert measured_times(time_logs).usual_waits.tolist() == [0.1] * 4


@pytest.mark.parametrize("numbers", [[2, 4, 6, 8, 10, 12], [1, 2, 3], []])
def test_steps_that_were_not_all_logged_are_left_out(time_logs, numbers):
    time_logs["batch_numbers"] = numbers
    times = measured_times(time_logs)
    assert times.steps_per_epoch == 0
    assert times.waits.shape == (3, 0)


def test_unknown_waits_are_left_out(time_logs):
    del time_logs["batch_wait_times"]
    times = measured_times(time_logs)
    assert times.steps.shape == (3, 2)
    assert times.waits.shape == (3, 0)
    assert times.usual_waits.size == 0


def test_what_the_run_measured_itself_is_summed_up(time_logs):
    time_logs["breakdown"] = {"step": [1.0, None, 2.0], "figures": 5, "input": None}
    assert measured_times(time_logs).parts == {"step": 3.0, "figures": 5.0}


@pytest.mark.parametrize("damage", [5, [1.0], "text"])
def test_parts_without_names_are_refused(time_logs, damage):
    time_logs["breakdown"] = damage
    with pytest.raises(RunError, match="'breakdown' must be a JSON object"):
        measured_times(time_logs)


def test_a_run_before_its_first_epoch_has_no_times():
    times = measured_times({"epoch_times": [], "validation_times": []})
    assert (times.num_epochs, times.total) == (0, 0.0)


@pytest.mark.parametrize("damage", [["x"], {"a": 1}, "text"])
def test_a_damaged_log_is_refused(time_logs, damage):
    time_logs["epoch_times"] = damage
    with pytest.raises(RunError, match=r"time_logs\.json: 'epoch_times' must hold numbers"):
        measured_times(time_logs)


def test_validation_counts_as_nothing_where_it_was_not_timed(time_logs):
    time_logs["validation_times"] = []
    assert np.array_equal(measured_times(time_logs).validation, np.zeros(3))
