import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.figures.metric_correlation import (
    correlation_matrix,
    describe_metric_correlation,
    draw_metric_correlation,
    metric_correlation_data,
)
from pipeline.figures.spec import NothingToDraw
from tests.figures.contents import on_contents

metric_correlation_data = on_contents(metric_correlation_data)


@given(arrays(float, (3, 8), elements=st.integers(-5, 5).map(float)))
def test_the_matrix_is_that_of_numpy_where_series_vary(values):
    found = correlation_matrix(values)
    flat = values.std(axis=1) == 0
    assert np.isnan(found[flat]).all()
    assert np.isnan(found[:, flat]).all()
    if (~flat).sum() > 1:
        expected = np.corrcoef(values[~flat])
        assert found[np.ix_(~flat, ~flat)] == pytest.approx(expected, abs=1e-12)


def test_a_series_that_differs_by_rounding_only_is_constant():
    values = np.array([[0.1, 0.1 + 1e-16, 0.1], [1.0, 2.0, 3.0]])
    assert np.isnan(correlation_matrix(values)[0]).all()


def test_losses_fall_as_agreement_rises(history):
    data = metric_correlation_data(history)
    names = data.names
    assert data.num_epochs == 4
    value = data.correlation[names.index("validation loss"), names.index("validation CCC")]
    assert value == pytest.approx(-1)


def test_accuracy_is_left_out_as_it_repeats_the_mae(history):
    assert not any("accuracy" in name for name in metric_correlation_data(history).names)


def test_epochs_with_a_gap_are_left_out(make_history):
    history = make_history(6)
    history["epoch"]["val_metrics"]["pcc"][2] = None
    assert metric_correlation_data(history).num_epochs == 5


def test_fewer_than_three_epochs_are_nothing_to_draw(make_history):
    with pytest.raises(NothingToDraw, match="at least 3 of them; there are 2"):
        metric_correlation_data(make_history(2))


def test_each_pair_is_written_once(history):
    data = metric_correlation_data(history)
    num_series = len(data.names)
    axes = draw_metric_correlation(data).axes[0]
    assert len(axes.texts) == num_series * (num_series - 1) / 2


def test_the_alt_text_tells_the_numbers(make_history):
    sentence = describe_metric_correlation(metric_correlation_data(make_history(validation=False)))
    assert sentence.startswith("Over 4 epochs the training loss correlates 1.00 with training MAE")
