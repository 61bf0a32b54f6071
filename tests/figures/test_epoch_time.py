import pytest

from pipeline.figures.epoch_time import (
    describe_training_time,
    draw_epoch_time,
    draw_training_time,
    epoch_time_data,
    training_time_data,
)
from tests.figures.contents import on_contents

epoch_time_data = on_contents(epoch_time_data)
training_time_data = on_contents(training_time_data)


def test_the_loss_stands_at_the_time_it_was_reached(time_logs, history):
    data = training_time_data(time_logs, history)
    assert data.elapsed == pytest.approx([2.8, 3.6, 4.4, 5.2])
    line = draw_training_time(data).axes[1].lines[0]
    assert line.get_xdata() == pytest.approx([2.8, 3.6, 4.4, 5.2])
    assert line.get_ydata() == pytest.approx([0.35, 0.34, 0.33, 0.32])


def test_logs_of_different_length_are_not_joined(time_logs, make_history):
    assert training_time_data(time_logs, make_history(3)).loss is None
    assert training_time_data(time_logs).loss is None
    assert len(draw_training_time(training_time_data(time_logs)).axes) == 1


def test_bars_begin_at_zero(time_logs):
    figure = draw_epoch_time(epoch_time_data(time_logs))
    assert figure.axes[0].get_ylim()[0] == 0


def test_a_long_first_epoch_is_cut_and_named(time_logs, texts_of):
    figure = draw_epoch_time(epoch_time_data(time_logs))
    assert figure.axes[0].get_ylim()[1] < 2000  # ms
    assert "▲ epoch 1: 2.80 s" in texts_of(figure)


def test_several_long_epochs_are_marked_one_by_one(make_time_logs, texts_of):
    logs = make_time_logs(60)
    logs["epoch_times"][40] = 9.0
    figure = draw_epoch_time(epoch_time_data(logs))
    assert "▲ up to 9.25 s" in texts_of(figure)
    assert figure.axes[0].lines[0].get_xdata().tolist() == [1, 41]


def test_two_epochs_have_no_distribution(make_time_logs):
    assert len(draw_epoch_time(epoch_time_data(make_time_logs(2))).axes) == 1
    assert len(draw_epoch_time(epoch_time_data(make_time_logs(3))).axes) == 2


def test_median_and_percentile_are_named(time_logs, texts_of):
    assert "median 800 ms, p95 800 ms" in texts_of(draw_epoch_time(epoch_time_data(time_logs)))


def test_the_legend_promises_validation_only_where_it_took_time(time_logs, texts_of):
    assert "validation" in texts_of(draw_epoch_time(epoch_time_data(time_logs)))
    time_logs["validation_times"] = [0.0] * 4
    assert "validation" not in texts_of(draw_epoch_time(epoch_time_data(time_logs)))


def test_the_alt_text_tells_the_numbers(time_logs, make_time_logs):
    assert describe_training_time(training_time_data(time_logs)) == (
        "4 epochs took 5.20 s: the first, which starts up, 2.80 s, the others 800 ms in the "
        "median and 800 ms at the 95th percentile."
    )
    assert describe_training_time(training_time_data(make_time_logs(1))) == (
        "The only epoch took 2.80 s, start-up included."
    )
