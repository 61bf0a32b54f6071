import numpy as np
import pytest

from pipeline.figures.attention_agreement import (
    describe_head_agreement,
    draw_head_agreement,
    head_agreement_data,
)
from pipeline.figures.spec import NothingToDraw
from pipeline.records.attention import AttentionMeasurements

MATRIX = np.array([[1.0, 0.2, 0.4], [0.2, 1.0, 0.9], [0.4, 0.9, 1.0]])


def measured(matrix=MATRIX):
    return AttentionMeasurements(
        mean_maps={"traits": np.full((len(matrix), 5, 4), 0.25)}, agreement={"traits": matrix}
    )


def test_the_mean_is_that_over_different_heads():
    (found,) = head_agreement_data(measured()).maps
    assert found.mean == pytest.approx(0.5)


def test_one_head_has_no_other_to_agree_with():
    with pytest.raises(NothingToDraw, match="one head"):
        head_agreement_data(measured(np.ones((1, 1))))


def test_every_number_is_written_into_its_cell():
    (axes,) = draw_head_agreement(head_agreement_data(measured())).axes
    assert sorted(text.get_text() for text in axes.texts) == [
        ".20", ".20", ".40", ".40", ".90", ".90", "1.00", "1.00", "1.00",
    ]  # fmt: skip


def test_cells_too_small_for_numbers_have_a_colour_scale():
    (axes,) = draw_head_agreement(head_agreement_data(measured(np.eye(12)))).axes
    assert not axes.texts
    (scale,) = axes.child_axes
    assert [tick.get_text() for tick in scale.get_yticklabels()] == ["0", "1"]


def test_the_mean_agreement_is_told():
    found = describe_head_agreement(head_agreement_data(measured()))
    assert found.endswith("no key in common: traits 0.500.")
