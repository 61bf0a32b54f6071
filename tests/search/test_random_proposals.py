"""Draws stay inside of what they are drawn from."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.seeds import generator
from pipeline.search.study.random_proposals import Draws


@given(st.integers(0, 1000), st.integers(-5, 5), st.integers(1, 10), st.integers(1, 3))
def test_whole_numbers_are_on_a_step_of_the_range(seed, low, width, step):
    value = Draws(generator(seed, "test"), {}).suggest_int(
        "x", low, low + width, step=step, log=False
    )
    assert low <= value <= low + width
    assert (value - low) % step == 0


@given(st.integers(0, 1000))
def test_numbers_are_in_the_range(seed):
    draws = Draws(generator(seed, "test"), {})
    assert 0.5 <= draws.suggest_float("x", 0.5, 0.9, step=None, log=True) <= 0.9
    assert draws.suggest_float("y", 0.0, 1.0, step=0.5, log=False) in (0.0, 0.5, 1.0)


def test_what_is_given_is_proposed():
    draws = Draws(generator(0, "test"), {"x": 3, "y": "late", "z": 0.5})
    assert draws.suggest_int("x", 0, 9, step=1, log=False) == 3
    assert draws.suggest_categorical("y", ("concat", "late")) == "late"
    assert draws.suggest_float("z", 0.0, 1.0, step=None, log=False) == 0.5
