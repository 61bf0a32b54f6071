import dataclasses

import numpy as np
import pytest

from pipeline.figures.attention_traits import (
    describe_trait_looks,
    draw_trait_looks,
    trait_attention_data,
    trait_rollout_data,
)
from pipeline.figures.spec import NothingToDraw
from pipeline.records.attention import FRAMES, WINDOWS, AttentionMeasurements


def measured(*, static=(0.5, 0.1), dynamic=(0.1, 0.1, 0.2), rollout=True):
    looks = {"static": np.tile(static, (5, 1)), "dynamic": np.tile(dynamic, (5, 1))}
    samples = {name: values[None].copy() for name, values in looks.items()}
    return AttentionMeasurements(
        clip_ids=("first", "second"),
        key_kinds={"static": FRAMES, "dynamic": WINDOWS},
        num_keys={"static": 2, "dynamic": 3},
        mean_maps={"traits": np.full((1, 5, 5), 0.2)},
        trait_attention=looks,
        trait_rollout=looks if rollout else {},
        sample_ids=("first",),
        sample_trait_attention=samples,
        sample_trait_rollout=samples if rollout else {},
    )


def test_each_stream_has_its_share_and_the_weight_of_an_even_look():
    static, dynamic = trait_attention_data(measured()).streams
    assert (static.name, dynamic.name) == ("face frames", "flow windows")
    np.testing.assert_allclose(static.share, 0.6)
    np.testing.assert_allclose(dynamic.share, 0.4)
    np.testing.assert_allclose(static.even, [0.3, 0.3])


def test_shares_and_even_looks_are_taken_as_they_were_measured():
    looks = dataclasses.replace(
        measured(static=(0.9, np.nan)),
        trait_share={"static": np.full(5, 0.7), "dynamic": np.full(5, 0.3)},
        trait_attention_even={"static": np.array([0.6, np.nan]), "dynamic": np.full(3, 0.1)},
    )
    static, dynamic = trait_attention_data(looks).streams
    np.testing.assert_allclose(static.share + dynamic.share, 1.0)
    assert static.even[0] == 0.6
    assert "most at number 1 with 0.900, where an even look has 0.600" in describe_trait_looks(
        trait_attention_data(looks)
    )


def test_steps_that_no_clip_has_do_not_spoil_a_share():
    static, _ = trait_attention_data(measured(static=(0.6, np.nan))).streams
    np.testing.assert_allclose(static.share, 0.6)


def test_shares_are_told_only_where_the_traits_choose_between_streams():
    assert trait_attention_data(measured()).has_shares
    alone = measured(static=(0.5, 0.5), dynamic=(0.5, 0.25, 0.25))  # each stream sums to 1
    assert not trait_attention_data(alone).has_shares
    # A rollout gives each stream a share that the model had no say in.
    assert not trait_rollout_data(measured()).has_shares


def test_without_blocks_there_is_no_rollout():
    with pytest.raises(NothingToDraw, match="no cross-attention blocks"):
        trait_rollout_data(measured(rollout=False))


def test_the_mean_is_drawn_as_a_line_a_trait_and_clips_as_maps():
    sheet, static, dynamic = draw_trait_looks(trait_attention_data(measured())).axes
    for axes, expected in ((static, (0.5, 0.1)), (dynamic, (0.1, 0.1, 0.2))):
        even, *traits = axes.lines
        assert len(traits) == 5
        np.testing.assert_array_equal(traits[0].get_ydata(), expected)
        assert even.get_linestyle() == "--"
    assert len(sheet.images) == 4  # one clip and a colour bar a stream


def test_the_most_looked_at_step_is_told():
    assert describe_trait_looks(trait_attention_data(measured())) == (
        "Where each trait looks, mean of 2 clips and five traits. Face frames: 60 % of the "
        "attention, most at number 1 with 0.500, where an even look has 0.300; Flow windows: "
        "40 % of the attention, most at number 3 with 0.200, where an even look has 0.133."
    )
