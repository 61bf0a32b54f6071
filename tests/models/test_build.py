from pipeline.config.schema import ModelConfig
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
