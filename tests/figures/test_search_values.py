import numpy as np
import pytest

from pipeline.figures.layout import build_panels
from pipeline.figures.search_study import Objective
from pipeline.figures.search_values import mark_beyond, set_value_axis, shown_range
from pipeline.figures.style import SCREEN

MAE = Objective(name="mae", is_maximised=False)
R2 = Objective(name="r2", is_maximised=True)


def test_values_of_one_magnitude_are_all_shown():
    shown = shown_range(np.array([0.10, 0.11, 0.12, 0.3, 0.14]), MAE)

    assert (shown.low, shown.high, shown.num_beyond, shown.remark) == (0.10, 0.3, 0, "")


def test_a_diverged_trial_does_not_flatten_the_others():
    shown = shown_range(np.array([0.10, 0.11, 1e6, 0.12, 0.13]), MAE)

    assert (shown.low, shown.high) == (0.10, 0.13)
    assert shown.remark == "▲ 1 value off the scale, up to 1,000,000"
    assert shown.limits[1] < 0.14


def test_where_higher_is_better_the_low_values_are_cut_off():
    shown = shown_range(np.array([0.4, 0.39, -250.0, 0.3, 0.35]), R2)

    assert (shown.low, shown.high) == (0.3, 0.4)
    assert shown.remark == "▼ 1 value off the scale, down to −250"
    assert shown.beyond(np.array([-250.0, 0.3])).tolist() == [True, False]


def test_even_where_more_than_half_of_the_trials_diverged_the_rest_is_told_apart():
    values = np.array([0.10, 0.105, 0.11, 0.12, 50.0, 800.0, 1e4, 1e5, 1e6])

    assert shown_range(values, MAE).high == 0.12


def test_a_value_far_better_than_the_rest_is_never_cut_off():
    assert shown_range(np.array([0.5, 0.51, 0.52, 0.01]), MAE).low == 0.01


@pytest.mark.parametrize("values", [[0.1], [0.1, 0.1, 0.1], [0.1, 1e6]])
def test_few_or_equal_values_have_an_axis(values):
    shown = shown_range(np.array(values), MAE)

    low, high = shown.limits
    assert low < shown.low <= shown.high < high
    assert shown.num_beyond == 0


def test_many_equal_values_are_no_reason_to_cut_off_those_nearby():
    assert shown_range(np.array([0.1] * 30 + [0.11, 0.12, 0.15]), MAE).num_beyond == 0


def test_values_that_are_not_finite_do_not_count():
    assert shown_range(np.array([np.nan, 0.1, 0.2, np.inf]), MAE).high == 0.2


def test_values_off_the_scale_are_marked_at_the_edge():
    values = np.array([0.10, 0.11, 1e6, 0.12])
    shown = shown_range(values, MAE)
    with SCREEN.applied():
        _, (axes,) = build_panels(SCREEN, title="t")
        set_value_axis(axes, shown, MAE)
        mark_beyond(axes, np.arange(4.0), values, shown)

    (marks,) = axes.lines
    assert marks.get_xdata().tolist() == [2.0]
    assert marks.get_ydata()[0] == axes.get_ylim()[1]


def test_large_values_are_written_with_their_magnitude():
    objective = Objective(name="weights", is_maximised=False)
    shown = shown_range(np.array([1e5, 4e5]), objective)
    with SCREEN.applied():
        figure, (axes,) = build_panels(SCREEN, title="t")
        set_value_axis(axes, shown, objective)
        figure.canvas.draw()

    assert "200k" in [label.get_text() for label in axes.get_yticklabels()]
    assert axes.get_ylabel() == "number of weights"
