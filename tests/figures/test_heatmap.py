import numpy as np
from matplotlib.figure import Figure

from pipeline.figures.heatmap import draw_heatmap


def test_every_finite_value_is_written_into_its_cell():
    axes = Figure().add_subplot()
    draw_heatmap(
        axes, np.array([[0.5, np.nan], [-0.001, -1.0]]), rows=["a", "b"], columns=["c", "d"]
    )
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "0.50", (0, 1): "0.00", (1, 1): "−1.00"}


def test_numbers_stand_out_from_their_cells():
    axes = Figure().add_subplot()
    draw_heatmap(axes, np.array([[0.1, 0.9]]), rows=["a"], columns=["c", "d"])
    assert [text.get_color() for text in axes.texts] == ["#222222", "white"]


def test_zero_is_white_whatever_the_limit():
    axes = Figure().add_subplot()
    draw_heatmap(axes, np.array([[0.1, 0.2]]), rows=["a"], columns=["c", "d"], limit=0.25)
    assert axes.images[0].get_clim() == (-0.25, 0.25)
