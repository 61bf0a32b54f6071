"""Layout and style of figures."""

import threading

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from pipeline.core.traits import TRAITS
from pipeline.figures.base.layout import build_panels, draw_heatmap, line_handle, set_log_scale
from pipeline.figures.base.style import (
    SCREEN,
    STYLES,
    TRAIN_COLOUR,
    VALIDATION_COLOUR,
    styled,
    trait_colours,
)
from tests.figures.conftest import boxes_of

OKABE_ITO = {"#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#000000"}


def panels(**options):
    with SCREEN.applied():
        return build_panels(SCREEN, title="t", **options)


def test_panels_have_one_size_and_are_ordered_by_row():
    _, found = panels(num_panels=6, columns=3)
    boxes = [axes.get_position() for axes in found]
    assert len(found) == 6
    assert all(box.width == pytest.approx(boxes[0].width) for box in boxes)
    assert boxes[0].y0 > boxes[3].y0
    assert boxes[0].x0 < boxes[1].x0 < boxes[2].x0


def test_a_panel_has_the_given_aspect():
    figure, (axes,) = panels(aspect=0.5, width="column")
    width, height = figure.get_size_inches()
    box = axes.get_position()
    assert box.height * height / (box.width * width) == pytest.approx(0.5)
    assert width == SCREEN.column_width


@pytest.mark.parametrize("style", STYLES.values(), ids=list(STYLES))
@pytest.mark.parametrize("length", [5, 30])
def test_title_legend_and_labels_are_visible_and_do_not_overlap(style, length):
    handles = [line_handle("x" * length, "black") for _ in range(5)]
    with style.applied():
        figure, found = build_panels(style, title="A title", num_panels=2, legend=handles)
        for axes in found:
            axes.set_title("left")
            axes.set_xlabel("epoch")
            axes.set_ylabel("a quantity (units)")
    assert bool(figure.texts) == style.has_title
    boxes = boxes_of(figure, style)
    width, height = figure.canvas.get_width_height()
    assert all(box.x0 >= 0 and box.y0 >= 0 for box in boxes)
    assert all(box.x1 <= width and box.y1 <= height for box in boxes)
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_logarithmic_axis_has_decimal_labels(axis):
    figure, (axes,) = panels()
    axes.plot([0.002, 0.01], [0.002, 0.01])
    set_log_scale(axes, axis)
    figure.canvas.draw()
    labels = axes.get_xticklabels() if axis == "x" else axes.get_yticklabels()
    assert "0.005" in [label.get_text() for label in labels]


def test_a_heatmap_writes_every_finite_value():
    axes = Figure().add_subplot()
    values = np.array([[0.5, np.nan], [-0.001, -1.0]])
    draw_heatmap(axes, values, rows=["a", "b"], columns=["c", "d"], has_bar=True)
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "0.50", (0, 1): "0.00", (1, 1): "−1.00"}
    assert axes.images[0].get_clim() == (-1, 1)
    assert len(axes.child_axes) == 1


def luminance(colour):
    """Return the relative luminance of WCAG 2."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_each_trait_has_its_own_okabe_ito_colour():
    colours = trait_colours(TRAITS)
    assert len(set(colours)) == len(TRAITS)
    assert set(colours) <= OKABE_ITO


def test_ocean_traits_keep_their_colours_among_other_traits():
    colours = trait_colours(["honesty", "openness", "neuroticism"])
    assert colours[1:] == [trait_colours(TRAITS)[0], trait_colours(TRAITS)[4]]
    assert colours[0] in OKABE_ITO


@pytest.mark.parametrize("num_traits", [1, 3, 7, 12])
def test_any_number_of_other_traits_has_different_colours(num_traits):
    colours = trait_colours([f"trait{number}" for number in range(num_traits)])
    assert len(set(colours)) == num_traits
    assert set(colours[:7]) <= OKABE_ITO


def test_curves_have_contrast_to_the_page_and_to_each_other():
    train, validation = luminance(TRAIN_COLOUR), luminance(VALIDATION_COLOUR)
    assert all(1.05 / (value + 0.05) >= 4.5 for value in (train, validation))
    assert abs(train - validation) > 0.15


def test_each_thread_draws_in_its_own_style():
    seen = {}
    barrier = threading.Barrier(2)

    @styled
    def draw(data, style):
        sizes = {mpl.rcParams["font.size"] for _ in range(2000)}
        seen[data] = (style.name, sizes)

    def run(name):
        barrier.wait()
        for _ in range(5):
            draw(name, STYLES[name])

    threads = [threading.Thread(target=run, args=(name,)) for name in STYLES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"screen": ("screen", {10.0}), "paper": ("paper", {8.0})}
