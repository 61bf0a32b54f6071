import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline.figures.base.layout import (
    build_panels,
    draw_heatmap,
    line_handle,
    name_rows,
    set_log_scale,
    set_ticks,
)
from pipeline.figures.base.style import PAPER, SCREEN


@pytest.fixture
def panels():
    """Return a function that builds panels in the screen style."""

    def build(**options):
        with SCREEN.applied():
            return build_panels(SCREEN, title="t", **options)

    return build


def boxes_of(figure, style):
    """Return the boxes of all texts of a figure in pixels."""
    with style.applied():
        figure.canvas.draw()
    texts = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in figure.axes:
        texts += [axes.xaxis.label, axes.yaxis.label, axes.title]
    return [text.get_window_extent() for text in texts if text.get_text()]


def test_panels_are_equal_and_come_row_by_row(panels):
    _, found = panels(rows=2, columns=3, aspect=0.5)
    boxes = [axes.get_position() for axes in found]
    assert len(found) == 6
    assert all(box.width == pytest.approx(boxes[0].width) for box in boxes)
    assert boxes[0].y0 > boxes[3].y0
    assert boxes[0].x0 < boxes[1].x0 < boxes[2].x0


def test_a_panel_has_the_given_aspect(panels):
    figure, (axes,) = panels(aspect=0.5, width="column")
    width, height = figure.get_size_inches()
    box = axes.get_position()
    assert box.height * height / (box.width * width) == pytest.approx(0.5)
    assert width == SCREEN.column_width


@pytest.mark.parametrize("style", [SCREEN, PAPER], ids=lambda style: style.name)
@pytest.mark.parametrize("length", [5, 30])
def test_title_legend_and_labels_are_inside_and_apart(style, length):
    handles = [line_handle("x" * length, "black") for _ in range(5)]
    with style.applied():
        figure, panels = build_panels(style, title="A title", columns=2, legend=handles)
        for axes in panels:
            axes.set_title("left")
            axes.set_xlabel("epoch")
            axes.set_ylabel("a quantity (units)")
    assert bool(figure.texts) == style.has_title
    boxes = boxes_of(figure, style)
    width, height = figure.canvas.get_width_height()
    assert all(box.x0 >= 0 and box.y0 >= 0 for box in boxes)
    assert all(box.x1 <= width and box.y1 <= height for box in boxes)
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


def test_ticks_of_counts_are_whole_numbers(panels):
    _, (axes,) = panels()
    axes.set_xlim(0.5, 4.5)
    set_ticks(axes, integer_x=True)
    assert all(tick == round(tick) for tick in axes.get_xticks())


def test_a_logarithmic_axis_writes_its_ticks_as_decimals(panels):
    figure, (axes,) = panels()
    axes.plot([1, 2], [0.002, 0.01])
    set_log_scale(axes)
    figure.canvas.draw()
    assert "0.005" in [label.get_text() for label in axes.get_yticklabels()]


def test_rows_are_named_from_top_to_bottom(panels):
    _, (axes,) = panels()
    name_rows(axes, ["first", "second"])
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]


def test_the_outer_right_margin_stays_free(panels):
    figure, found = panels(columns=2, right=1.0, outer_right=8.0)
    free = (1 - found[-1].get_position().x1) * figure.get_size_inches()[0]
    assert free == pytest.approx(9.0 * SCREEN.em)


def test_a_heatmap_writes_every_finite_value_into_its_cell():
    axes = Figure().add_subplot()
    values = np.array([[0.5, np.nan], [-0.001, -1.0]])
    draw_heatmap(axes, values, rows=["a", "b"], columns=["c", "d"], limit=0.25)
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "0.50", (0, 1): "0.00", (1, 1): "−1.00"}
    assert axes.images[0].get_clim() == (-0.25, 0.25)
