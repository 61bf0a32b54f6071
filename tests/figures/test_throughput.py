import pytest

from pipeline.figures.throughput import describe_throughput, draw_throughput, throughput_data
from tests.figures.contents import on_contents

throughput_data = on_contents(throughput_data)


def test_clips_a_second_are_those_of_the_training_part(time_logs):
    data = throughput_data(time_logs, num_train_clips=1100)
    assert data.unit == "clips"
    assert data.rate == pytest.approx([1100 / 2.55, 2000, 2000, 2000])
    assert data.median == pytest.approx(2000)


def test_what_the_run_measured_itself_comes_first(time_logs):
    time_logs["clips_per_second"] = [10, 20, 30, 40]
    assert throughput_data(time_logs, num_train_clips=1100).rate.tolist() == [10, 20, 30, 40]


def test_without_the_number_of_clips_steps_are_counted(time_logs):
    data = throughput_data(time_logs)
    assert data.unit == "steps"
    assert data.rate[1] == pytest.approx(5 / 0.55)


def test_the_axis_begins_at_zero(time_logs):
    assert draw_throughput(throughput_data(time_logs)).axes[0].get_ylim()[0] == 0


def test_the_alt_text_tells_the_numbers(time_logs, make_time_logs):
    assert describe_throughput(throughput_data(time_logs, 1100)) == (
        "Training runs at 2,000 clips per second in the median of the epochs after the first, "
        "which starts up at 431; the slowest of them has 2,000."
    )
    assert describe_throughput(throughput_data(make_time_logs(1), 1100)) == (
        "The only epoch trained on 431 clips per second, start-up included."
    )
