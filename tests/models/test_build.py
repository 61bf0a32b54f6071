import pytest

from pipeline.config.schema import ModelConfig
from pipeline.core.errors import ModelError
from pipeline.core.traits import TRAITS
from pipeline.models import CompletePersonalityModel, PersonalityModel, StreamSpec, build_model

WIDE = StreamSpec(width=4, num_steps=8)
SETTINGS = {
    "fusion": "late",
    "fusion_dim": 12,
    "num_heads": 3,
    "dropout_rate": 0.2,
    "num_tokens": 5,
    "num_blocks": 3,
    "feed_forward_factor": 4,
    "linear_skip": False,
    "linear_start": "zero",
}


def test_every_setting_of_the_configuration_is_used():
    model = build_model(
        ModelConfig(**SETTINGS),
        {"static": StreamSpec(width=7, num_steps=4, masked=True), "dynamic": StreamSpec(width=3)},
    )
    assert model.get_config() == {
        **SETTINGS,
        "static_dim": 7,
        "dynamic_dim": 3,
        "static_steps": 4,
        "dynamic_steps": None,
        "static_masked": True,
        "dynamic_masked": False,
        "name": "complete_personality_model",
    }


def test_streams_traits_and_stream_dropout_are_used():
    model = build_model(
        ModelConfig(**SETTINGS),
        {"audio": StreamSpec(width=7, masked=True, source="audio.npy"), "dynamic": WIDE},
        traits=["openness", "interview"],
        stream_dropout=0.2,
    )
    assert model.get_config() == {
        **SETTINGS,
        "streams": {
            "audio": {"width": 7, "num_steps": None, "masked": True, "can_be_absent": True},
            "dynamic": {"width": 4, "num_steps": 8, "masked": False, "can_be_absent": True},
        },
        "traits": ["openness", "interview"],
        "stream_dropout": 0.2,
        "name": "personality_model",
    }


@pytest.mark.parametrize(
    ("streams", "changes"),
    [
        (("dynamic", "static"), {}),
        (("static",), {}),
        (("static", "dynamic", "audio"), {}),
        (("static", "dynamic"), {"traits": TRAITS[:3]}),
        (("static", "dynamic"), {"traits": TRAITS[::-1]}),
        (("static", "dynamic"), {"stream_dropout": 0.1}),
    ],
)
def test_only_static_and_dynamic_streams_with_ocean_traits_give_a_complete_model(streams, changes):
    complete = build_model(ModelConfig(), dict.fromkeys(("static", "dynamic"), WIDE))
    other = build_model(ModelConfig(), dict.fromkeys(streams, WIDE), **changes)
    assert type(complete) is CompletePersonalityModel
    assert type(other) is PersonalityModel


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        (("static", "dynamic"), ("static", "dynamic")),
        (("static", "dynamic", "audio"), ("dynamic",)),
        (("dynamic",), ("dynamic",)),
    ],
)
def test_a_fusion_of_one_stream_needs_only_this_stream(given, inputs):
    model = build_model(ModelConfig(fusion="dynamic_only"), dict.fromkeys(given, WIDE))
    assert model.stream_names == tuple(tensor.name for tensor in model.inputs) == inputs
    assert model.attention_keys == {"dynamic": 8}


IMAGES = StreamSpec(width=3, num_steps=4, image_size=(8, 8), source="hands.npy")


@pytest.mark.parametrize(
    ("streams", "encoder", "message"),
    [
        (
            {"static": WIDE, "dynamic": StreamSpec(width=6, num_steps=1, source="a/dynamic.npy")},
            "",
            r"^a/dynamic\.npy: has one step per clip.*`array\[:, 0\]`",
        ),
        (
            {"static": StreamSpec(width=6, num_steps=1), "dynamic": WIDE},
            "",
            "The static stream: has one step per clip",
        ),
        (
            {"static": StreamSpec(width=3, num_steps=1, image_size=(8, 8), source="static.npy")},
            "conv",
            r"static\.npy: .*two or more images",
        ),
        ({"static": WIDE, "hands": IMAGES}, "", "hands.npy: contains images, but only .* static"),
        ({"audio": WIDE}, "conv", "model.static_encoder='conv', but the streams are audio"),
    ],
)
def test_streams_that_do_not_fit_the_configuration_are_an_error(streams, encoder, message):
    with pytest.raises(ModelError, match=message):
        build_model(ModelConfig(static_encoder=encoder), streams)
