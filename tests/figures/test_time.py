"""Values in the time figures."""

import pytest

from tests.figures.conftest import make_history, make_time_logs, texts_of


def test_the_loss_is_drawn_over_the_elapsed_time(draw):
    line = draw("training_time_analysis").axes[1].lines[0]
    assert line.get_xdata() == pytest.approx([2.8, 3.6, 4.4, 5.2])
    assert line.get_ydata() == pytest.approx([0.35, 0.34, 0.33, 0.32])


def test_logs_of_different_length_are_not_joined(build):
    assert build("training_time_analysis", history=make_history(3)).loss is None


def test_the_axis_cuts_long_epochs_and_a_note_names_them(draw):
    figure = draw("epoch_time_analysis")
    assert figure.axes[0].get_ylim()[0] == 0
    assert figure.axes[0].get_ylim()[1] < 2000  # ms
    assert "▲ epoch 1: 2.8 s" in texts_of(figure)
    logs = make_time_logs(60)
    logs["epoch_times"][40] = 9.0
    figure = draw("epoch_time_analysis", time_logs=logs)
    assert "▲ up to 9.25 s" in texts_of(figure)
    assert figure.axes[0].lines[0].get_xdata().tolist() == [1, 41]


@pytest.mark.parametrize(("num_epochs", "num_panels"), [(2, 1), (3, 2)])
def test_a_distribution_needs_three_epochs(draw, num_epochs, num_panels):
    figure = draw("epoch_time_analysis", time_logs=make_time_logs(num_epochs))
    assert len(figure.axes) == num_panels


def test_the_legend_contains_validation_only_if_it_was_measured(draw, time_logs):
    assert "validation" in texts_of(draw("epoch_time_analysis"))
    time_logs["validation_times"] = [0.0] * 4
    assert "validation" not in texts_of(draw("epoch_time_analysis"))


def test_step_percentiles_exclude_the_first_epoch(build, time_logs):
    time_logs["batch_times"][:5] = [9.0] * 5
    time_logs["batch_times"][-1] = 0.4
    data = build("batch_time_analysis")
    assert data.step_counts.sum() == data.wait_counts.sum() == 15
    # 0.95 * 14 = 13.3: between the last two steps
    assert data.step_percentiles == pytest.approx((0.1, 0.1 + 0.3 * 0.3))


def test_every_step_is_drawn_once(draw):
    later, first = draw("batch_time_analysis").axes[0].lines
    assert first.get_xdata().tolist() == [1, 2, 3, 4, 5]
    assert later.get_xdata().tolist() == list(range(6, 21))


def test_unknown_waits_are_omitted(build, describe, time_logs):
    del time_logs["batch_wait_times"]
    assert build("batch_time_analysis").wait_counts.sum() == 0
    assert "wait" not in describe("batch_time_analysis")


def test_each_part_has_its_time_and_share(build, draw):
    assert sum(build("time_breakdown").values()) == pytest.approx(5.2)
    figure = draw("time_breakdown")
    assert all(bar.get_x() == 0 for bar in figure.axes[0].patches)
    assert "training steps: 2 s, 38 %" in texts_of(figure)


def test_throughput_is_clips_per_second_of_training(build, draw, time_logs):
    data = build("throughput")
    assert data.unit == "clips"
    assert data.rate == pytest.approx([1100 / 2.55, 2000, 2000, 2000])
    assert data.median == pytest.approx(2000)
    assert draw("throughput").axes[0].get_ylim()[0] == 0
    time_logs["clips_per_second"] = [10, 20, 30, 40]
    assert build("throughput").rate.tolist() == [10, 20, 30, 40]


def test_throughput_is_in_steps_if_the_number_of_clips_is_unknown(build):
    data = build("throughput", num_train_clips=None)
    assert data.unit == "steps"
    assert data.rate[1] == pytest.approx(5 / 0.55)


def test_the_dashboard_lists_its_numbers(draw):
    texts = texts_of(draw("training_time_dashboard"))
    assert {"median epoch", "800 ms", "median step", "100 ms", "clips per second"} <= set(texts)


def test_the_dashboard_joins_small_parts(draw, time_logs):
    time_logs["breakdown"] = {"step": 10, "a": 5, "b": 4, "c": 3, "d": 2, "e": 1}
    texts = texts_of(draw("training_time_dashboard"))
    assert {"2 others: 12 %", "c: 12 %"} <= set(texts)
    assert not any(text.startswith("d:") for text in texts)


def test_the_dashboard_names_missing_data(draw, time_logs):
    time_logs |= {"batch_times": [], "batch_wait_times": [], "batch_numbers": []}
    texts = texts_of(draw("training_time_dashboard", history=None, num_train_clips=None))
    assert {"no step was timed", "no loss"} <= set(texts)
