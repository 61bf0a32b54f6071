import numpy as np
import pytest

from pipeline.figures.layout import build_panels
from pipeline.figures.search_parameter import read_parameter, set_parameter_axis, value_text
from pipeline.figures.style import SCREEN


def parameter(kind, tried=(), **declared):
    record = {"name": "a.b", "kind": kind, "log": False, "choices": None, "low": None, "high": None}
    return read_parameter(record | declared, [{"a.b": value} for value in tried])


def tick_labels(one, **options):
    with SCREEN.applied():
        figure, (axes,) = build_panels(SCREEN, title="t")
        set_parameter_axis(axes, one, **options)
        figure.canvas.draw()
    low, high = axes.get_xlim()
    return [
        label.get_text()
        for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        if low <= place <= high
    ]


def test_numbers_lie_where_they_are_and_missing_ones_nowhere():
    one = parameter("float", low=0.0, high=1.0)

    places = one.places([{"a.b": 0.25}, {}, {"a.b": 1}])

    assert places.tolist()[::2] == [0.25, 1.0]
    assert np.isnan(places[1])


def test_choices_lie_in_the_order_of_the_space():
    one = parameter("categorical", choices=["x", None, True, 2, [1, 2]])

    settings = [{"a.b": value} for value in ([1, 2], "x", None, 2, True)]

    assert one.places(settings).tolist() == [4, 0, 1, 3, 2]
    assert one.choices == ("x", "null", "true", "2", "[1, 2]")


def test_a_choice_that_the_space_has_no_more_is_kept():
    one = parameter("categorical", choices=["x", "y"], tried=["z", "x"])

    assert one.choices == ("x", "y", "z")


def test_a_number_outside_of_the_space_of_today_widens_the_axis():
    one = parameter("float", low=0.1, high=0.2, tried=[0.5])

    assert (one.low, one.high) == (0.1, 0.5)


def test_a_logarithmic_axis_is_scaled_by_decades():
    one = parameter("float", low=1e-4, high=1.0, log=True)

    assert one.scaled(np.array([1e-4, 1e-2, 1.0])) == pytest.approx([0, 0.5, 1])
    assert one.unscaled(np.array([0, 0.5, 1])) == pytest.approx([1e-4, 1e-2, 1.0])


def test_an_axis_that_reaches_zero_is_not_logarithmic():
    assert not parameter("int", low=0, high=8, log=True).is_log


def test_one_value_alone_stands_in_the_middle():
    one = parameter("int", low=3, high=3)

    assert one.scaled(np.array([3.0, np.nan]))[0] == 0.5
    assert np.isnan(one.scaled(np.array([np.nan]))[0])
    assert "3" in tick_labels(one)


def test_trials_step_aside_within_their_choice_only():
    aside = parameter("categorical", choices=["x", "y"]).aside(np.arange(50))

    assert np.abs(aside).max() <= 0.25
    assert len(np.unique(aside)) == 50
    assert not parameter("float", low=0, high=1).aside(np.arange(50)).any()


def test_choices_are_written_at_their_places_and_long_ones_keep_their_ends():
    one = parameter("categorical", choices=["short", "a_very_long_choice"])

    assert tick_labels(one) == ["short", "…ng_choice"]


def test_whole_numbers_have_whole_ticks():
    assert tick_labels(parameter("int", low=1, high=4)) == ["1", "2", "3", "4"]


def test_a_wide_logarithmic_axis_has_few_ticks():
    assert 2 <= len(tick_labels(parameter("float", low=1e-6, high=1e-1, log=True))) <= 4


def test_a_parameter_that_did_not_apply_is_not_set():
    one = parameter("float", low=0, high=1)

    assert one.written({"a.b": 0.123456}) == "0.1235"
    assert one.written({}) == "not set"


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (None, "null"), (0.00012345, "0.0001234"), (12, "12"), ([1, 2], "[1, 2]")],
)
def test_settings_are_written_as_in_a_configuration(value, text):
    assert value_text(value) == text


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind must be"):
        parameter("vector")
