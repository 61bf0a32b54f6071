import numpy as np
import pytest
from matplotlib.colors import rgb_to_hsv

from pipeline.figures.layout import build_panels
from pipeline.figures.search_colours import BAR_EM, add_colour_bar, value_colours
from pipeline.figures.search_study import Objective
from pipeline.figures.search_values import shown_range
from pipeline.figures.style import SCREEN


def objective(*, is_maximised):
    return Objective(name="r2", is_maximised=is_maximised)


@pytest.mark.parametrize("is_maximised", [True, False])
def test_better_values_are_darker(is_maximised):
    values = np.array([0.1, 0.2, 0.3])
    shown = shown_range(values, objective(is_maximised=is_maximised))

    lightness = rgb_to_hsv(value_colours(shown).to_rgba(values)[:, :3])[:, 2]

    best_first = lightness[::-1] if is_maximised else lightness
    assert best_first[0] < best_first[1] < best_first[2]


def test_equal_values_have_a_colour():
    shown = shown_range(np.array([0.1, 0.1]), objective(is_maximised=False))

    assert value_colours(shown).to_rgba(0.1)[3] == 1


@pytest.mark.parametrize(
    ("values", "is_maximised", "extend"),
    [([1, 2, 3], False, "neither"), ([1, 2, 3, 1e6], False, "max"), ([1, 2, 3, -1e6], True, "min")],
)
def test_the_bar_points_to_what_is_off_the_scale(values, is_maximised, extend):
    one = objective(is_maximised=is_maximised)
    shown = shown_range(np.array(values, dtype=float), one)
    with SCREEN.applied():
        figure, panels = build_panels(SCREEN, title="t", rows=2, outer_right=BAR_EM)
        add_colour_bar(figure, panels, shown, one, SCREEN)

    bar = figure.axes[-1]
    assert bar._colorbar.extend == extend
    assert bar.get_position().x0 > panels[0].get_position().x1
    assert bar.get_position().y0 == pytest.approx(panels[1].get_position().y0)
    assert bar.get_position().y1 == pytest.approx(panels[0].get_position().y1)
