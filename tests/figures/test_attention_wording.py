import pytest

from pipeline.figures.attention_wording import (
    map_heading,
    map_name,
    require_attention,
    shortened,
    stream_name,
)
from pipeline.figures.spec import NothingToDraw
from pipeline.records.attention import FRAMES, LEARNED_TOKENS, WINDOWS, AttentionMeasurements

STEPS = AttentionMeasurements(key_kinds={"static": FRAMES, "dynamic": WINDOWS})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("block_2/static_to_dynamic", "block 2, static → dynamic"),
        ("traits", "traits"),
        ("static/traits", "traits → static"),
    ],
)
def test_maps_have_short_names(name, expected):
    assert map_name(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("block_1/dynamic_to_static", "Block 1: flow windows (down) look at face frames (across)"),
        ("traits", "The traits look at face frames (left of the line) and flow windows (right)"),
        ("dynamic/traits", "The traits look at flow windows"),
    ],
)
def test_headings_say_who_looks_at_what_and_where(name, expected):
    assert map_heading(STEPS, name) == expected


def test_learned_tokens_are_named_after_their_stream():
    kinds = {"static": LEARNED_TOKENS, "dynamic": WINDOWS}
    attention = AttentionMeasurements(key_kinds=kinds)
    assert stream_name(attention, "static") == "static tokens"
    assert stream_name(attention, "dynamic") == "flow windows"


def test_long_names_keep_both_ends():
    assert shortened("video00521.001", 20) == "video00521.001"
    assert shortened("a" * 30 + ".007.mp4", 13) == "aaaaaa…07.mp4"
    assert len(shortened("x" * 100, 20)) == 20


def test_nothing_measured_is_refused_in_words():
    with pytest.raises(NothingToDraw, match="no attention to show: it was not measured"):
        require_attention(AttentionMeasurements())
