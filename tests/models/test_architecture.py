import numpy as np
import pytest

from pipeline.core.errors import ModelError
from pipeline.models import FUSIONS
from pipeline.models.architecture import Architecture, StreamSpec

VALID = {
    "static_dim": 6,
    "dynamic_dim": 4,
    "fusion_dim": 12,
    "num_heads": 4,
    "dropout_rate": 0.3,
    "static_steps": None,
    "dynamic_steps": None,
    "static_masked": False,
    "dynamic_masked": False,
    "num_tokens": 8,
    "num_blocks": 1,
    "feed_forward_factor": 2,
    "fusion": "cross_attention",
    "linear_skip": True,
}


def architecture(**changes):
    return Architecture(**{**VALID, **changes})


@pytest.mark.parametrize(
    "name",
    [
        "static_dim",
        "dynamic_dim",
        "num_heads",
        "num_tokens",
        "num_blocks",
        "feed_forward_factor",
        "static_steps",
        "dynamic_steps",
    ],
)
@pytest.mark.parametrize("value", [0, -3, 2.5, "8", True])
def test_a_count_that_is_none_is_refused_with_its_value(name, value):
    with pytest.raises(ModelError, match=f"^{name}={value!r}: expected a whole number of 1 or"):
        architecture(**{name: value})


@pytest.mark.parametrize("value", [1, 0, 2.5, True])
def test_a_token_of_one_number_is_refused_as_it_is_nothing_once_it_is_normalised(value):
    with pytest.raises(ModelError, match=f"^fusion_dim={value!r}: expected a whole number of 2"):
        architecture(fusion_dim=value, num_heads=1)


def test_counts_of_numpy_are_counts():
    assert architecture(static_dim=np.int64(6)).streams["static"].width == 6


@pytest.mark.parametrize("rate", [-0.1, 1.0, 30, float("nan"), "0.3", None, True])
def test_a_dropout_rate_outside_its_range_is_refused(rate):
    with pytest.raises(ModelError, match=r"^dropout_rate=.*expected a share in \[0, 1\)"):
        architecture(dropout_rate=rate)


@pytest.mark.parametrize(
    ("width", "num_heads", "choice"),
    [(128, 3, "2 or 4"), (12, 5, "4 or 6"), (8, 16, "8"), (7, 2, "1 or 7")],
)
def test_heads_that_do_not_divide_the_width_come_with_the_nearest_that_do(width, num_heads, choice):
    with pytest.raises(
        ModelError, match=f"num_heads={num_heads} .* fusion_dim={width}.*num_heads={choice}\\.$"
    ):
        architecture(fusion_dim=width, num_heads=num_heads)


@pytest.mark.parametrize(
    ("name", "near"), [("cross-attention", "cross_attention"), ("dynamic", "dynamic_only")]
)
def test_an_unknown_fusion_comes_with_the_nearest_name(name, near):
    with pytest.raises(ModelError, match=f"fusion='{name}' is unknown; did you mean '{near}'"):
        architecture(fusion=name)


@pytest.mark.parametrize("stream", ["static", "dynamic"])
def test_a_mask_needs_steps(stream):
    with pytest.raises(ModelError, match=f"{stream}_masked=True, but {stream}_steps=None"):
        architecture(**{f"{stream}_masked": True})


@pytest.mark.parametrize("fusion", ["cross_attention", "late", "static_only"])
def test_attention_over_one_step_is_refused_with_the_cure(fusion):
    cure = r"static_steps=1: .*always 1\. Give the stream as \(N, 6\) instead of \(N, 1, 6\)"
    with pytest.raises(ModelError, match=cure):
        architecture(static_steps=1, fusion=fusion)


@pytest.mark.parametrize("fusion", ["concat", "gated", "dynamic_only"])
def test_one_step_is_fine_where_nothing_attends_to_it(fusion):
    assert architecture(static_steps=1, fusion=fusion).num_keys("static") == 1


def test_attention_over_one_learned_token_is_refused():
    with pytest.raises(
        ModelError, match=r"num_tokens=1: .* the static stream is one vector a clip"
    ):
        architecture(num_tokens=1)


def test_one_learned_token_is_fine_where_both_streams_have_steps():
    assert architecture(num_tokens=1, static_steps=2, dynamic_steps=2).num_keys("dynamic") == 2


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_has_an_architecture(fusion):
    assert architecture(fusion=fusion).fusion_sizes.width == 12


def test_streams_come_in_the_order_of_the_inputs():
    streams = architecture(dynamic_steps=3, dynamic_masked=True).streams
    assert list(streams.items()) == [
        ("static", StreamSpec(width=6)),
        ("dynamic", StreamSpec(width=4, num_steps=3, masked=True)),
    ]
