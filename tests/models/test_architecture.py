import numpy as np
import pytest

from pipeline.core.errors import ModelError
from pipeline.models.architecture import Architecture, read_streams
from pipeline.models.streams import StreamSpec

VALID = {
    "streams": {"static": StreamSpec(width=6), "dynamic": StreamSpec(width=4)},
    "traits": ("openness", "interview"),
    "fusion_dim": 12,
    "num_heads": 4,
    "dropout_rate": 0.3,
    "num_tokens": 8,
    "num_blocks": 1,
    "feed_forward_factor": 2,
    "fusion": "cross_attention",
    "linear_skip": True,
    "linear_start": "zero",
    "stream_dropout": 0.0,
}
COUNTS = ["num_heads", "num_tokens", "num_blocks", "feed_forward_factor"]


def architecture(**changes):
    return Architecture(**{**VALID, **changes})


def streams(**static):
    return {**VALID["streams"], "static": StreamSpec(**{"width": 6, **static})}


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -3, 2.5, "8", True])
def test_an_invalid_count_is_an_error(name, value):
    message = f"^{name} must be a whole number of 1 or more, but is {value!r}"
    with pytest.raises(ModelError, match=message):
        architecture(**{name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(
            ({"fusion_dim": value, "num_heads": 1}, f"fusion_dim .* 2 or more, but is {value!r}")
            for value in (1, 0, 2.5, True)
        ),
        *(
            ({name: rate}, rf"^{name} must be .*\[0, 1\)")
            for rate in (-0.1, 1.0, 30, float("nan"), "0.3", None, True)
            for name in ("dropout_rate", "stream_dropout")
        ),
        ({"fusion_dim": 128, "num_heads": 3}, "num_heads=3 .* fusion_dim=128.*num_heads=2 or 4"),
        ({"fusion_dim": 12, "num_heads": 5}, r"num_heads=4 or 6\.$"),
        ({"fusion_dim": 8, "num_heads": 16}, r"num_heads=8\.$"),
        ({"fusion_dim": 7, "num_heads": 2}, r"num_heads=1 or 7\.$"),
        ({"fusion": "cross-attention"}, "fusion='cross-attention' .*mean 'cross_attention'"),
        ({"fusion": "dynamic"}, "did you mean 'dynamic_only'"),
        ({"num_tokens": 1}, "num_tokens=1: .*static stream"),
        *(
            ({"streams": streams(width=value)}, f"width of the static stream .* is {value!r}")
            for value in (0, -3, 2.5, "8", True)
        ),
        *(
            ({"streams": streams(num_steps=value)}, f"steps of the static stream .* is {value!r}")
            for value in (0, -3, 2.5, "8", True)
        ),
        *(
            (
                {"streams": streams(num_steps=1), "fusion": fusion},
                r"static stream: has one step .*\(N, 6\) .* \(N, 1, 6\)",
            )
            for fusion in ("cross_attention", "late", "static_only")
        ),
        ({"streams": {}}, "one stream or more"),
        ({"streams": {"a b": StreamSpec(width=3)}}, "stream name 'a b' must consist"),
        ({"streams": {"labels": StreamSpec(width=3)}}, "stream name 'labels' must not be"),
        (
            {"streams": {"audio": StreamSpec(width=3)}, "fusion": "static_only"},
            "'static_only' uses the stream static, but the streams are audio. Choose",
        ),
        ({"streams": streams(image_size=(8, 8))}, "contains images.*build_model"),
        ({"streams": streams(can_be_absent=True)}, "can be absent, but has no mask.*masked=True"),
        ({"fusion": "static_only", "stream_dropout": 0.2}, "stream_dropout=0.2: .* one stream"),
        *(
            ({"traits": traits}, "traits must contain one or more different names")
            for traits in ((), ("a", "a"), ("a", ""), ("a", 1), "openness")
        ),
    ],
)
def test_an_invalid_architecture_is_an_error(changes, message):
    with pytest.raises(ModelError, match=message):
        architecture(**changes)


def test_counts_of_numpy_are_counts():
    assert architecture(streams=streams(width=np.int64(6))).streams["static"].width == 6


@pytest.mark.parametrize("fusion", ["concat", "gated", "dynamic_only"])
def test_one_step_is_enough_without_attention(fusion):
    assert architecture(streams=streams(num_steps=1), fusion=fusion).num_keys("static") == 1


def test_one_learned_token_is_enough_if_all_streams_have_steps():
    steps = dict.fromkeys(("static", "dynamic"), StreamSpec(width=3, num_steps=2))
    assert architecture(num_tokens=1, streams=steps).num_keys("dynamic") == 2


def test_a_stream_is_described_by_a_dict_or_an_object():
    given = {"a": {"width": 3, "masked": True}, "b": StreamSpec(width=4)}
    assert read_streams(given, stream_dropout=0.0) == {
        "a": StreamSpec(width=3, masked=True),
        "b": StreamSpec(width=4),
    }


def test_with_stream_dropout_every_stream_can_be_absent():
    read = read_streams(VALID["streams"], stream_dropout=0.1)
    assert [spec.can_be_absent for spec in read.values()] == [True, True]


@pytest.mark.parametrize("description", [{}, {"width": 3, "colour": "red"}, 7])
def test_an_invalid_description_of_a_stream_is_an_error(description):
    with pytest.raises(ModelError, match=r"audio stream is described by .* dict with a width"):
        read_streams({"audio": description}, stream_dropout=0.0)
