import pytest

from pipeline.config.schema import ModelConfig
from pipeline.core.errors import ModelError
from pipeline.models import StreamSpec, build_model

WIDE = StreamSpec(width=4, num_steps=8)


def test_every_setting_of_the_configuration_is_used():
    settings = {
        "fusion": "late",
        "fusion_dim": 12,
        "num_heads": 3,
        "dropout_rate": 0.2,
        "num_tokens": 5,
        "num_blocks": 3,
        "feed_forward_factor": 4,
        "linear_skip": False,
    }
    model = build_model(
        ModelConfig(**settings),
        static=StreamSpec(width=7, num_steps=4, masked=True),
        dynamic=StreamSpec(width=3, num_steps=None, masked=False),
    )
    assert model.get_config() == {
        **settings,
        "static_dim": 7,
        "dynamic_dim": 3,
        "static_steps": 4,
        "dynamic_steps": None,
        "static_masked": True,
        "dynamic_masked": False,
        "name": "complete_personality_model",
    }


@pytest.mark.parametrize(
    ("static", "dynamic", "encoder", "message"),
    [
        (
            WIDE,
            StreamSpec(width=6, num_steps=1, source="features/dynamic.npy"),
            "",
            r"^features/dynamic\.npy: has one step per clip.*`array\[:, 0\]`",
        ),
        (StreamSpec(width=6, num_steps=1), WIDE, "", "The static stream: has one step per clip"),
        (
            StreamSpec(width=3, num_steps=1, image_size=(8, 8), source="static.npy"),
            WIDE,
            "conv",
            r"static\.npy: .*two or more images",
        ),
    ],
)
def test_one_step_per_clip_is_an_error_with_attention(static, dynamic, encoder, message):
    with pytest.raises(ModelError, match=message):
        build_model(ModelConfig(static_encoder=encoder), static=static, dynamic=dynamic)
