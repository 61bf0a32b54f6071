import dataclasses

import pytest

from pipeline.config.schema import ModelConfig
from pipeline.core.errors import ModelError
from pipeline.models import StreamSpec, build_model


def test_every_setting_of_the_configuration_arrives():
    config = ModelConfig(
        fusion="late",
        fusion_dim=12,
        num_heads=3,
        dropout_rate=0.2,
        num_tokens=5,
        num_blocks=3,
        feed_forward_factor=4,
        linear_skip=False,
    )
    model = build_model(
        config,
        static=StreamSpec(width=7, num_steps=4, masked=True),
        dynamic=StreamSpec(width=3, num_steps=None, masked=False),
    )
    assert model.get_config() == {
        "static_dim": 7,
        "dynamic_dim": 3,
        "fusion_dim": 12,
        "num_heads": 3,
        "dropout_rate": 0.2,
        "static_steps": 4,
        "dynamic_steps": None,
        "static_masked": True,
        "dynamic_masked": False,
        "num_tokens": 5,
        "num_blocks": 3,
        "feed_forward_factor": 4,
        "fusion": "late",
        "linear_skip": False,
        "name": "complete_personality_model",
    }


def test_a_stream_of_one_step_is_refused_with_its_file():
    wide, single = StreamSpec(width=4, num_steps=8), StreamSpec(width=6, num_steps=1)
    named = dataclasses.replace(single, source="features/dynamic.npy")
    with pytest.raises(
        ModelError, match=r"^features/dynamic\.npy: has one step per clip"
    ) as refused:
        build_model(ModelConfig(), static=wide, dynamic=named)
    assert "`array[:, 0]`" in str(refused.value)
    with pytest.raises(ModelError, match="The static stream: has one step per clip"):
        build_model(ModelConfig(), static=single, dynamic=wide)
    build_model(ModelConfig(fusion="concat"), static=wide, dynamic=named)


def test_images_of_one_step_are_refused_before_an_encoder_is_built():
    wide = StreamSpec(width=4, num_steps=8)
    images = StreamSpec(width=3, num_steps=1, picture=(8, 8), source="static.npy")
    with pytest.raises(ModelError, match=r"static\.npy: .*Give two or more images per clip"):
        build_model(ModelConfig(static_encoder="conv"), static=images, dynamic=wide)
