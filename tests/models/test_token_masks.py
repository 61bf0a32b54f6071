import keras
import numpy as np
import pytest

from pipeline.models.end_to_end import EndToEndModel
from pipeline.models.personality_model import PersonalityModel
from pipeline.models.token_masks import absent_streams, token_mask

MASK = np.array([[True, False], [False, False]])


def build(**changes):
    streams = {
        "static": {"width": 3, "num_steps": 2, "masked": True},
        "audio": {"width": 4, "masked": True, "can_be_absent": True},
    }
    return PersonalityModel(streams, fusion_dim=8, num_heads=2, num_tokens=3, **changes)


def test_streams_with_a_learned_token_can_be_absent():
    assert absent_streams(build()) == ("audio",)
    assert absent_streams(EndToEndModel({}, {}, build())) == ("audio",)
    assert absent_streams(build(stream_dropout=0.1)) == ("static", "audio")
    inputs = keras.Input((3,))
    assert absent_streams(keras.Model(inputs, keras.layers.Dense(5)(inputs))) == ()


@pytest.mark.parametrize(
    ("stream", "step_mask", "expected"),
    [
        ("static", MASK, MASK),
        ("audio", [[True], [False]], [[True, True, True], [True, False, False]]),
    ],
)
def test_the_learned_token_is_the_first_token(stream, step_mask, expected):
    found = token_mask(build(), stream, np.array(step_mask))
    np.testing.assert_array_equal(found, expected)


def test_the_attention_weights_are_zero_outside_the_mask():
    network = build()
    values = [np.ones((2, 2, 3)), np.ones((2, 4))]
    masks = [np.array([[True, False], [True, True]]), np.array([[True], [False]])]
    weights = network.attention([*values, *masks])["traits"]
    tokens = [token_mask(network, *each) for each in zip(("static", "audio"), masks, strict=True)]
    is_token = np.concatenate(tokens, axis=1)
    np.testing.assert_allclose((weights * is_token[:, None, None]).sum(axis=-1), 1, atol=1e-6)
