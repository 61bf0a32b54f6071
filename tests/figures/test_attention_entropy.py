import numpy as np
import pytest

from pipeline.core.errors import PipelineError
from pipeline.figures.attention_entropy import (
    attention_entropy_data,
    describe_attention_entropy,
    draw_attention_entropy,
)
from pipeline.records.attention import AttentionMeasurements

HISTORY = [
    {"epoch": 1, "entropy": {"traits": [0.9, 0.8]}},
    {"epoch": 2, "entropy": {"traits": [0.5, None]}},
]


def measured(entropy=((0.0, 0.2), (0.5, 0.4), (1.0, 0.6))):
    entropy = np.array(entropy)
    return AttentionMeasurements(
        clip_ids=tuple(map(str, range(len(entropy)))),
        mean_maps={"traits": np.full((entropy.shape[1], 5, 4), 0.25)},
        entropy={"traits": entropy},
    )


def test_clips_are_told_by_quantiles_and_undefined_ones_are_left_out():
    (found,) = attention_entropy_data(measured([[0.0], [0.5], [1.0], [np.nan]])).maps
    np.testing.assert_allclose(found.quantiles[:, 0], [0.05, 0.25, 0.5, 0.75, 0.95])


def test_epochs_are_followed_where_the_journal_tells_them():
    data = attention_entropy_data(measured(), HISTORY)
    (found,) = data.maps
    assert data.has_epochs
    np.testing.assert_array_equal(found.epochs, [1, 2])
    np.testing.assert_array_equal(found.over_epochs, [[0.9, 0.8], [0.5, np.nan]])


@pytest.mark.parametrize(
    "event",
    [
        {"epoch": 1},
        {"epoch": 1, "entropy": {"other": [0.5, 0.5]}},
        {"epoch": 1, "entropy": {"traits": [0.5]}},
        {"epoch": 1, "entropy": {"traits": "high"}},
    ],
)
def test_an_event_that_does_not_fit_is_named(event):
    with pytest.raises(PipelineError, match=r"events\.jsonl: an event `attention` does not hold"):
        attention_entropy_data(measured(), [event])


def test_epochs_and_clips_are_drawn_side_by_side():
    over_epochs, over_clips = draw_attention_entropy(
        attention_entropy_data(measured(), HISTORY)
    ).axes
    np.testing.assert_array_equal(over_epochs.lines[0].get_ydata(), [0.9, 0.5])
    assert over_epochs.get_title(loc="left") == "traits, over the epochs"
    medians = over_clips.collections[-1].get_offsets()
    np.testing.assert_allclose(medians, [[1, 0.5], [2, 0.4]])


def test_without_epochs_only_the_clips_are_drawn():
    (over_clips,) = draw_attention_entropy(attention_entropy_data(measured())).axes
    assert over_clips.get_xlabel() == "head"


@pytest.mark.parametrize("num_heads", [1, 8, 12])
def test_any_number_of_heads_is_drawn(num_heads):
    data = attention_entropy_data(measured(np.full((4, num_heads), 0.5)))
    (axes,) = draw_attention_entropy(data).axes
    assert len(axes.collections[-1].get_offsets()) == num_heads


def test_the_medians_are_told():
    found = describe_attention_entropy(attention_entropy_data(measured()))
    assert found.endswith("where 0 is a look at one key and 1 an even look at all: "
                          "traits 0.500, 0.400.")  # fmt: skip
