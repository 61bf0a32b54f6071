import numpy as np
import pytest

from pipeline.core.errors import ModelError
from pipeline.models.architecture import Architecture

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
COUNTS = [name for name, value in VALID.items() if type(value) is int and name != "fusion_dim"]


def architecture(**changes):
    return Architecture(**{**VALID, **changes})


@pytest.mark.parametrize("name", [*COUNTS, "static_steps", "dynamic_steps"])
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
            ({"dropout_rate": rate}, r"^dropout_rate must be .*\[0, 1\)")
            for rate in (-0.1, 1.0, 30, float("nan"), "0.3", None, True)
        ),
        ({"fusion_dim": 128, "num_heads": 3}, "num_heads=3 .* fusion_dim=128.*num_heads=2 or 4"),
        ({"fusion_dim": 12, "num_heads": 5}, r"num_heads=4 or 6\.$"),
        ({"fusion_dim": 8, "num_heads": 16}, r"num_heads=8\.$"),
        ({"fusion_dim": 7, "num_heads": 2}, r"num_heads=1 or 7\.$"),
        ({"fusion": "cross-attention"}, "fusion='cross-attention' .*mean 'cross_attention'"),
        ({"fusion": "dynamic"}, "did you mean 'dynamic_only'"),
        ({"static_masked": True}, "static_masked=True, but static_steps=None"),
        ({"dynamic_masked": True}, "dynamic_masked=True, but dynamic_steps=None"),
        *(
            ({"static_steps": 1, "fusion": fusion}, r"static_steps=1: .*\(N, 6\) .* \(N, 1, 6\)")
            for fusion in ("cross_attention", "late", "static_only")
        ),
        ({"num_tokens": 1}, "num_tokens=1: .*static stream"),
    ],
)
def test_an_invalid_architecture_is_an_error(changes, message):
    with pytest.raises(ModelError, match=message):
        architecture(**changes)


def test_counts_of_numpy_are_counts():
    assert architecture(static_dim=np.int64(6)).streams["static"].width == 6


@pytest.mark.parametrize("fusion", ["concat", "gated", "dynamic_only"])
def test_one_step_is_enough_without_attention(fusion):
    assert architecture(static_steps=1, fusion=fusion).num_keys("static") == 1


def test_one_learned_token_is_enough_if_both_streams_have_steps():
    assert architecture(num_tokens=1, static_steps=2, dynamic_steps=2).num_keys("dynamic") == 2
