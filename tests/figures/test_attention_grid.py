import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.figures.attention_grid import (
    Grid,
    GridRow,
    head_colours,
    limit_of,
    step_numbers,
)
from pipeline.figures.style import PAPER, SCREEN

ROWS = (GridRow(heading="upper", aspect=0.8), GridRow(heading="lower", aspect=0.4))


def build_grid(style=SCREEN, columns=("first", "second")):
    with style.applied():
        return Grid(style, title="Title", rows=ROWS, columns=columns, left=10.0)


def texts(grid):
    (sheet,) = grid.figure.axes
    return [text.get_text() for text in sheet.texts]


@pytest.mark.parametrize("style", [SCREEN, PAPER])
@pytest.mark.parametrize("num_columns", [1, 4, 12])
def test_maps_lie_apart_and_inside_the_figure(style, num_columns):
    grid = build_grid(style, tuple(map(str, range(num_columns))))
    width, height = grid.figure.get_size_inches() / style.em
    upper, lower = grid.boxes()
    for boxes in (upper, lower):
        assert boxes[0].left >= 10.0
        assert boxes[-1].left + boxes[-1].width < width
        for first, second in itertools.pairwise(boxes):
            assert first.left + first.width < second.left
    assert upper[0].top + upper[0].height < lower[0].top
    assert lower[0].top + lower[0].height < height


def test_headings_and_columns_stand_above_every_row():
    found = texts(build_grid())
    assert found == ["Title", "upper", "first", "second", "lower", "first", "second"]


def test_a_paper_has_no_title():
    assert "Title" not in texts(build_grid(PAPER))


def test_keys_are_numbered_anew_for_each_stream():
    grid = build_grid()
    before = len(texts(grid))
    (box, _), _ = grid.boxes()
    grid.draw_map(box, np.full((2, 5), 0.2), limit=1.0, num_keys=(3, 2))
    assert texts(grid)[before:] == ["1", "2", "3", "1", "2"]


def test_a_map_is_drawn_with_its_numbers_and_padding_is_grey():
    grid = build_grid()
    (box, _), _ = grid.boxes()
    weights = np.array([[0.25, 0.75, np.nan]])
    grid.draw_map(box, weights, limit=0.75)
    (image,) = grid.figure.axes[0].images
    np.testing.assert_array_equal(image.get_array().filled(np.nan), weights)
    assert image.get_clim() == (0, 0.75)
    red, green, blue, alpha = image.get_cmap().get_bad()
    assert red == green == blue
    assert alpha == 1.0


def test_the_colour_bar_names_its_ends():
    grid = build_grid()
    before = len(texts(grid))
    (box, _), _ = grid.boxes()
    grid.draw_bar(box, 0.5)
    assert texts(grid)[before:] == ["weight", "0", "0.25", "0.5"]


def test_traits_are_named_in_full_or_by_letter():
    grid = build_grid()
    before = len(texts(grid))
    (box, _), _ = grid.boxes()
    grid.name_traits(box)
    grid.name_traits(box, is_short=True)
    found = texts(grid)[before:]
    assert found[:2] == ["openness", "conscientiousness"]
    assert "".join(found[5:]) == "OCEAN"


@given(st.integers(1, 5000), st.integers(1, 40))
def test_few_steps_are_numbered_evenly_from_the_first(num_steps, most):
    numbers = step_numbers(num_steps, most)
    assert numbers[0] == 1
    assert len(numbers) <= most
    assert len(set(np.diff(numbers))) <= 1
    assert numbers[-1] <= num_steps


def test_the_scale_ends_at_the_largest_weight():
    assert limit_of(np.array([0.2, np.nan, 0.7])) == 0.7
    assert limit_of(np.array([np.nan])) == 1.0


@pytest.mark.parametrize("num_heads", [1, 4, 7, 8, 16])
def test_every_head_has_a_colour_of_its_own(num_heads):
    assert len(set(head_colours(num_heads))) == num_heads
