import pytest

from pipeline.figures.batch_time import batch_time_data, describe_batch_time, draw_batch_time
from tests.figures.contents import on_contents

batch_time_data = on_contents(batch_time_data)


def test_steps_after_the_first_epoch_are_counted(time_logs):
    data = batch_time_data(time_logs)
    assert data.step_counts.sum() == 15
    assert data.wait_counts.sum() == 15


def test_percentiles_leave_the_first_epoch_out(time_logs):
    time_logs["batch_times"][:5] = [9.0] * 5
    time_logs["batch_times"][-1] = 0.4
    median, p95 = batch_time_data(time_logs).step_percentiles
    assert median == pytest.approx(0.1)
    assert p95 == pytest.approx(0.1 + 0.3 * 0.3)  # 0.95 * 14 = 13.3: between the last two


def test_a_single_epoch_is_all_there_is(make_time_logs):
    assert batch_time_data(make_time_logs(1)).step_counts.sum() == 5


def test_every_step_is_drawn_once(time_logs):
    later, first = draw_batch_time(batch_time_data(time_logs)).axes[0].lines
    assert first.get_xdata().tolist() == [1, 2, 3, 4, 5]
    assert later.get_xdata().tolist() == list(range(6, 21))


def test_unknown_waits_are_not_promised(time_logs, texts_of):
    del time_logs["batch_wait_times"]
    data = batch_time_data(time_logs)
    assert data.wait_counts.sum() == 0
    assert "wait before it" not in texts_of(draw_batch_time(data))
    assert "wait" not in describe_batch_time(data)


def test_a_clock_that_saw_no_time_pass_can_be_drawn(time_logs):
    time_logs["batch_times"] = [0.0] * 20
    assert batch_time_data(time_logs).step_counts.sum() == 15
    assert draw_batch_time(batch_time_data(time_logs)).axes


def test_the_alt_text_tells_the_numbers(time_logs):
    assert describe_batch_time(batch_time_data(time_logs)) == (
        "After the first epoch a step takes 100 ms in the median and 100 ms at the 95th "
        "percentile; the wait before it takes 10.0 ms in the median, 10.0 ms at the 95th."
    )
