import numpy as np
import pytest

from pipeline.figures.attention_maps import (
    attention_comparison_data,
    describe_map_grid,
    draw_map_grid,
    multi_head_data,
)
from pipeline.figures.spec import NothingToDraw
from pipeline.records.attention import FRAMES, WINDOWS, AttentionMeasurements

BLOCK = "block_1/static_to_dynamic"


@pytest.fixture
def attention():
    """Two named clips of three, two heads; the second clip's second head looks at one key."""
    block = np.full((2, 2, 2, 3), 1 / 3)
    block[1, 1, 0] = [0.0, 0.0, 1.0]
    traits = np.full((2, 2, 5, 5), 0.2)
    return AttentionMeasurements(
        clip_ids=("first", "second", "third"),
        key_kinds={"static": FRAMES, "dynamic": WINDOWS},
        num_keys={"static": 2, "dynamic": 3},
        mean_maps={BLOCK: block.mean(axis=0), "traits": traits.mean(axis=0)},
        sample_ids=("first", "second"),
        sample_maps={BLOCK: block, "traits": traits},
    )


def test_a_named_clip_has_a_column_for_each_head(attention):
    found = multi_head_data(attention, 1)
    assert found.title == "Attention of each head, clip second"
    assert found.columns == ("head 1", "head 2")
    block, traits = found.rows
    np.testing.assert_array_equal(block.weights, attention.sample_maps[BLOCK][1])
    assert block.num_keys == (3,)
    assert not block.is_of_traits
    assert traits.num_keys == (2, 3)
    assert traits.is_of_traits


def test_a_clip_that_was_not_kept_is_not_made_up(attention):
    with pytest.raises(NothingToDraw, match="the maps of 2 clips only were kept"):
        multi_head_data(attention, 2)


def test_the_comparison_sets_the_mean_beside_the_named_clips(attention):
    found = attention_comparison_data(attention)
    assert found.columns == ("mean of 3 clips", "first", "second")
    block = found.rows[0].weights
    assert block.shape == (3, 2, 3)
    np.testing.assert_allclose(block[0], attention.mean_maps[BLOCK].mean(axis=0))
    np.testing.assert_allclose(block[2, 0], [1 / 6, 1 / 6, 2 / 3])


def test_every_map_is_drawn_on_the_scale_of_its_row(attention):
    (sheet,) = draw_map_grid(multi_head_data(attention, 1)).axes
    clims = [image.get_clim()[1] for image in sheet.images]
    assert clims == pytest.approx([1.0] * 3 + [0.2] * 3)  # two heads and a colour bar a row
    np.testing.assert_array_equal(sheet.images[1].get_array()[0], [0.0, 0.0, 1.0])


def test_long_clip_names_do_not_run_into_each_other(attention):
    long = AttentionMeasurements(
        **{**vars(attention), "sample_ids": ("x" * 90 + ".001", "x" * 90 + ".002")}
    )
    first, second = attention_comparison_data(long).columns[1:]
    assert first != second
    assert len(first) <= 20
    assert len(multi_head_data(long, 0).title) < 100


def test_the_strongest_looks_are_told(attention):
    assert describe_map_grid(multi_head_data(attention, 1)) == (
        "Attention of each head, clip second. Largest weights: block 1, static → dynamic up to "
        "1.00, head 2; traits up to 0.200, head 1."
    )
