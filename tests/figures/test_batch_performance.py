import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.figures.batch_performance import (
    batch_performance_data,
    describe_batch_performance,
    draw_batch_performance,
    running_mean,
)
from pipeline.figures.spec import NothingToDraw
from tests.figures.contents import on_contents

batch_performance_data = on_contents(batch_performance_data)


def test_a_running_mean_is_centred_and_shrinks_at_the_ends():
    assert running_mean(np.array([1.0, 2.0, 3.0, 10.0]), 3) == pytest.approx([1.5, 2.0, 5.0, 6.5])


def test_a_running_mean_leaves_gaps_out():
    mean = running_mean(np.array([1.0, np.nan, 3.0, np.nan, np.nan, np.nan]), 3)
    assert mean[:4] == pytest.approx([1.0, 2.0, 3.0, 3.0])
    assert np.isnan(mean[5])


@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=40), st.integers(min_value=1, max_value=50)
)
def test_a_running_mean_stays_within_the_values(values, window):
    mean = running_mean(np.array(values), window)
    assert len(mean) == len(values)
    assert mean.min() >= min(values) - 1e-9
    assert mean.max() <= max(values) + 1e-9


def test_every_step_is_drawn_with_its_own_value(history):
    data = batch_performance_data(history)
    assert data.steps.tolist() == list(range(1, 21))
    axes = draw_batch_performance(data).axes[0]
    assert axes.lines[0].get_xdata().tolist() == list(range(1, 21))
    assert axes.lines[0].get_ydata().tolist() == history["batch"]["loss"]


def test_the_mean_spans_at_most_an_epoch_and_a_tenth_of_the_run(make_history):
    assert batch_performance_data(make_history(4, steps_per_epoch=5)).window == 2
    assert batch_performance_data(make_history(50, steps_per_epoch=5)).window == 5


def test_a_single_step_needs_no_mean(make_history, texts_of):
    data = batch_performance_data(make_history(1, steps_per_epoch=1))
    assert data.window == 1
    assert "each batch" in texts_of(draw_batch_performance(data))


def test_steps_without_values_are_nothing_to_draw(history):
    history["batch"] |= {"loss": [], "metrics": {}}
    with pytest.raises(NothingToDraw, match="without loss and metrics"):
        batch_performance_data(history)


def test_the_alt_text_tells_the_numbers(make_history):
    assert describe_batch_performance(batch_performance_data(make_history(2))) == (
        "Over 10 logged steps, the loss goes from 0.300 to 0.291 and the MAE goes from 0.200 to "
        "0.200."
    )
    described = describe_batch_performance(batch_performance_data(make_history(4)))
    assert described.startswith("Over 20 logged steps, averaged over 2 of them, the loss goes")
