import numpy as np
import pytest

from pipeline.figures.search_field import bandwidth, cell_shares, local_mean
from pipeline.figures.search_parameter import Parameter

X = Parameter(name="x", is_log=False, is_whole=False, choices=(), low=0.0, high=1.0)
Y = Parameter(name="y", is_log=True, is_whole=False, choices=(), low=1e-4, high=1.0)
CHOICE = Parameter(
    name="c", is_log=False, is_whole=False, choices=("a", "b", "c"), low=-0.5, high=2.5
)


def test_trials_of_one_value_have_a_field_of_that_value():
    draw = np.random.default_rng(0)
    places = (draw.random(30), 10 ** draw.uniform(-4, 0, 30))

    field = local_mean(X, Y, places, np.full(30, 0.7))

    assert field.shape == (60, 60)
    assert field[np.isfinite(field)] == pytest.approx(0.7)
    assert np.isfinite(field).mean() > 0.8


def test_the_field_follows_the_values_and_stays_between_them():
    draw = np.random.default_rng(0)
    x = draw.random(200)

    field = local_mean(X, X, (x, draw.random(200)), x)

    means = np.nanmean(field, axis=0)
    assert means[10] == pytest.approx(0.18, abs=0.06)
    assert means[50] == pytest.approx(0.84, abs=0.06)
    assert np.nanmin(field) >= 0
    assert np.nanmax(field) <= 1


def test_far_from_all_trials_there_is_no_field():
    places = (np.full(12, 0.1) + 0.01 * np.arange(12), np.full(12, 0.1))

    field = local_mean(X, X, places, np.ones(12))

    assert np.isfinite(field[6, 9])
    assert np.isnan(field[50, 50])


def test_one_trial_alone_has_no_field_around_it():
    places = (np.array([0.1, 0.9, 0.5]), np.array([0.1, 0.9, 0.1]))

    assert np.isnan(local_mean(X, X, places, np.ones(3))).all()


def test_a_trial_counts_for_its_own_choice_only():
    places = (np.array([0.0] * 5 + [2.0] * 5), np.full(10, 0.5))

    field = local_mean(CHOICE, X, places, np.array([1.0] * 5 + [3.0] * 5))

    middle = field[30]
    assert middle[[0, 2]] == pytest.approx([1.0, 3.0])
    assert np.isnan(middle[1])


def test_a_choice_is_one_cell():
    assert cell_shares(CHOICE) == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_more_trials_make_the_field_finer():
    assert bandwidth(64) == pytest.approx(0.29 / 2)
    assert bandwidth(300) < bandwidth(40)
