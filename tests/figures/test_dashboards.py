import pytest

from pipeline.figures.dashboards import (
    describe_time_dashboard,
    describe_training_dashboard,
    draw_time_dashboard,
    draw_training_dashboard,
    time_dashboard_data,
    training_dashboard_data,
)
from tests.figures.contents import on_contents

time_dashboard_data = on_contents(time_dashboard_data)
training_dashboard_data = on_contents(training_dashboard_data)


def test_the_scores_at_a_glance_are_those_of_the_single_figures(history, lr_logs, time_logs):
    data = training_dashboard_data(history, lr_logs, time_logs)
    assert list(data.curves) == ["loss", "mae", "r2"]
    assert data.traits["openness"].validation[0] == pytest.approx(0.61)
    assert data.learning_rate.rates.tolist() == lr_logs["learning_rate"]
    assert data.times.epoch_seconds[0] == pytest.approx(2.8)
    assert len(draw_training_dashboard(data).axes) == 6


def test_what_is_unknown_is_said_in_its_panel(history, texts_of):
    history["epoch"] |= {"metrics": {}, "val_metrics": {}}
    texts = texts_of(draw_training_dashboard(training_dashboard_data(history)))
    assert {"no MAE (score units)", "no concordance of the traits"} <= set(texts)
    assert {"no learning rate", "no times"} <= set(texts)


def test_one_epoch_shows_points(make_history):
    figure = draw_training_dashboard(training_dashboard_data(make_history(1)))
    assert all(line.get_marker() == "." for line in figure.axes[3].lines)


def test_each_trait_is_named_by_its_letter(history, texts_of):
    texts = texts_of(draw_training_dashboard(training_dashboard_data(history)))
    assert [text for text in texts if len(text) == 1] == list("OCEAN")


def test_the_alt_text_of_the_scores_tells_loss_and_mae(history):
    sentence = describe_training_dashboard(training_dashboard_data(history))
    assert "validation loss goes from 0.350 to 0.320" in sentence
    assert "validation MAE goes from 0.600 to 0.540" in sentence


def test_the_time_at_a_glance_lists_its_numbers(time_logs, history, texts_of):
    data = time_dashboard_data(time_logs, history, 1100)
    texts = texts_of(draw_time_dashboard(data))
    assert {"median epoch", "800 ms", "median step", "100 ms", "clips per second"} <= set(texts)


def test_many_parts_are_joined_at_a_glance(time_logs, texts_of):
    time_logs["breakdown"] = {"step": 10, "a": 5, "b": 4, "c": 3, "d": 2, "e": 1}
    texts = texts_of(draw_time_dashboard(time_dashboard_data(time_logs)))
    assert "2 others: 12 %" in texts
    assert "c: 12 %" in texts
    assert not any(text.startswith("d:") for text in texts)


def test_a_run_without_steps_or_losses_still_has_its_epochs(time_logs, texts_of):
    for name in ("batch_times", "batch_wait_times", "batch_numbers"):
        time_logs[name] = []
    texts = texts_of(draw_time_dashboard(time_dashboard_data(time_logs)))
    assert {"no step was timed", "neither clips nor steps are known", "no loss"} <= set(texts)


def test_the_alt_text_of_the_time_tells_totals_and_parts(time_logs):
    sentence = describe_time_dashboard(time_dashboard_data(time_logs))
    assert sentence.startswith("Times: epochs 4, total 5.20 s, first epoch 2.80 s, ")
    assert "start-up 38 %" in sentence
