import threading

import matplotlib as mpl
import pytest
from matplotlib.colors import to_rgb

from pipeline.core.traits import TRAITS
from pipeline.figures.base.style import (
    PAPER,
    SCREEN,
    STYLES,
    TRAIN_COLOUR,
    TRAIT_COLOURS,
    VALIDATION_COLOUR,
    styled,
)

OKABE_ITO = {"#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#000000"}


def luminance(colour):
    """Relative luminance as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_each_trait_has_an_okabe_ito_colour_of_its_own():
    assert tuple(TRAIT_COLOURS) == TRAITS
    assert len(set(TRAIT_COLOURS.values())) == len(TRAITS)
    assert set(TRAIT_COLOURS.values()) <= OKABE_ITO


@pytest.mark.parametrize("colour", [TRAIN_COLOUR, VALIDATION_COLOUR])
def test_curves_stand_out_from_the_white_page(colour):
    assert 1.05 / (luminance(colour) + 0.05) >= 4.5


def test_training_and_validation_differ_in_lightness():
    assert abs(luminance(TRAIN_COLOUR) - luminance(VALIDATION_COLOUR)) > 0.15


def test_a_style_leaves_matplotlib_as_it_was():
    before = dict(mpl.rcParams)
    with PAPER.applied():
        assert mpl.rcParams["font.size"] == 8
    assert dict(mpl.rcParams) == before


def test_a_style_leaves_matplotlib_as_it_was_when_drawing_fails():
    before = mpl.rcParams["font.size"]
    with pytest.raises(RuntimeError), PAPER.applied():
        raise RuntimeError
    assert mpl.rcParams["font.size"] == before


def test_paper_figures_have_the_widths_of_columns_and_no_titles():
    assert (PAPER.column_width, PAPER.full_width, PAPER.font_size) == (3.5, 7.0, 8.0)
    assert not PAPER.has_title
    assert SCREEN.has_title


def test_styles_are_known_by_their_names():
    assert STYLES == {"screen": SCREEN, "paper": PAPER}


def test_threads_draw_in_their_own_styles():
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
