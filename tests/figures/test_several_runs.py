"""Values in the figure that compares several runs with the first."""

import numpy as np

from pipeline.figures.base.style import SCREEN
from tests.figures.conftest import make_comparison


def test_each_run_has_a_row_and_each_metric_a_panel(specs):
    comparisons = [
        make_comparison(mae=(0.02 * row, 0.02 * row - 0.01, 0.02 * row + 0.01))
        | {"labels": ["A", letter], "names": ["first", letter.lower()]}
        for row, letter in enumerate("BCD")
    ]
    spec = specs["differences_from_first"]
    data = spec.build_data({"comparisons": comparisons})
    figure = spec.draw(data, SCREEN)
    assert len(figure.axes) == 6
    mae = figure.axes[1]
    (points,) = (each for each in mae.collections if len(each.get_offsets()) == 3)
    np.testing.assert_allclose(points.get_offsets(), [[0.0, 0], [0.02, 1], [0.04, 2]])
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == ["B: b", "C: c", "D: d"]
    text = spec.alt_text(data)
    assert "B (b) 0.0000 (undecided)" in text
    assert "D (d) 0.0400 (A is better)" in text
    assert "1,200 test clips of 200 groups" in text
