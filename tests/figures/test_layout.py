import pytest

from pipeline.figures.layout import build_panels, line_handle, name_rows, set_log_scale, set_ticks
from pipeline.figures.style import PAPER, SCREEN


def boxes_of(figure, style):
    """Every text of a figure as a box in pixels, drawn."""
    with style.applied():
        figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    texts = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in figure.axes:
        texts += [axes.xaxis.label, axes.yaxis.label, axes.title]
    return [text.get_window_extent(renderer) for text in texts if text.get_text()]


def test_panels_are_equal_and_come_row_by_row():
    with SCREEN.applied():
        _, panels = build_panels(SCREEN, title="t", rows=2, columns=3, aspect=0.5)
    boxes = [axes.get_position() for axes in panels]
    assert len(panels) == 6
    assert all(box.width == pytest.approx(boxes[0].width) for box in boxes)
    assert boxes[0].y0 > boxes[3].y0
    assert boxes[0].x0 < boxes[1].x0 < boxes[2].x0


def test_a_panel_has_the_aspect_that_was_asked_for():
    with SCREEN.applied():
        figure, (axes,) = build_panels(SCREEN, title="t", aspect=0.5, width="column")
    width, height = figure.get_size_inches()
    box = axes.get_position()
    assert box.height * height / (box.width * width) == pytest.approx(0.5)
    assert width == SCREEN.column_width


def test_a_paper_figure_has_no_title():
    with PAPER.applied():
        figure, _ = build_panels(PAPER, title="a title")
    assert not figure.texts


@pytest.mark.parametrize("style", [SCREEN, PAPER], ids=lambda style: style.name)
@pytest.mark.parametrize("length", [5, 30])
def test_title_legend_and_labels_stay_inside_and_apart(style, length):
    handles = [line_handle("x" * length, "black") for _ in range(5)]
    with style.applied():
        figure, panels = build_panels(style, title="A title", columns=2, legend=handles)
        for axes in panels:
            axes.set_title("left")
            axes.set_xlabel("epoch")
            axes.set_ylabel("a quantity (units)")
    boxes = boxes_of(figure, style)
    width, height = figure.canvas.get_width_height()
    assert all(box.x0 >= 0 and box.y0 >= 0 for box in boxes)
    assert all(box.x1 <= width and box.y1 <= height for box in boxes)
    overlaps = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    assert not overlaps


def test_ticks_of_counted_things_are_whole():
    with SCREEN.applied():
        _, (axes,) = build_panels(SCREEN, title="t")
        axes.set_xlim(0.5, 4.5)
        set_ticks(axes, integer_x=True)
        ticks = axes.get_xticks()
    assert all(tick == round(tick) for tick in ticks)


def test_a_logarithmic_axis_writes_its_ticks_out():
    with SCREEN.applied():
        _, (axes,) = build_panels(SCREEN, title="t")
        axes.plot([1, 2], [0.002, 0.01])
        set_log_scale(axes)
        axes.figure.canvas.draw()
        labels = [label.get_text() for label in axes.get_yticklabels()]
    assert "0.005" in labels


def test_rows_are_named_from_top_to_bottom():
    with SCREEN.applied():
        _, (axes,) = build_panels(SCREEN, title="t")
        name_rows(axes, ["first", "second"])
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]


def test_room_on_the_outer_right_is_left_free():
    with SCREEN.applied():
        figure, panels = build_panels(SCREEN, title="t", columns=2, right=1.0, outer_right=8.0)
    width = figure.get_size_inches()[0]
    free = (1 - panels[-1].get_position().x1) * width
    assert free == pytest.approx(9.0 * SCREEN.em)
