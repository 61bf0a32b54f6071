"""Frozen layers with random weights are named; those that are fit for use are not."""

import keras
import numpy as np
import pytest

from pipeline.config.schema import ModelConfig
from pipeline.models.build import StreamSpec, build_model
from pipeline.models.random_weights import frozen_at_random
from pipeline.models.trainability import choose_trainable

FACES = StreamSpec(width=3, num_steps=2, picture=(8, 8))
FLOW = StreamSpec(width=2, num_steps=2, picture=(8, 8))
SETTINGS = {"fusion_dim": 8, "num_heads": 2}


@pytest.fixture
def features_model():
    return build_model(
        ModelConfig(**SETTINGS),
        static=StreamSpec(width=6, num_steps=3),
        dynamic=StreamSpec(width=4),
    )


def build_end_to_end(static_encoder="conv"):
    config = ModelConfig(**SETTINGS, static_encoder=static_encoder, dynamic_encoder="conv")
    return build_model(config, static=FACES, dynamic=FLOW)


def test_nothing_is_frozen_at_first(features_model):
    assert frozen_at_random(features_model) == ()
    assert frozen_at_random(build_end_to_end()) == ()


def test_zeros_ones_and_waves_are_not_random(features_model):
    choose_trainable(features_model, frozen=["static_*", "linear_skip", "traits"])
    assert frozen_at_random(features_model) == ("static_tokens",)


def test_drawn_positions_are_random(features_model):
    choose_trainable(features_model, frozen=["dynamic_positions"])
    assert frozen_at_random(features_model) == ("dynamic_positions",)


def test_a_model_that_has_learned_is_not_random(features_model):
    choose_trainable(features_model, frozen=["static_tokens"])
    features_model.set_label_mean(np.full(5, 0.6))
    assert frozen_at_random(features_model) == ()


def test_a_frozen_encoder_is_random_where_it_was_drawn_but_not_where_it_was_loaded(tmp_path):
    layers = [keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3)]
    path = tmp_path / "encoder.keras"
    keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D()]).save(path)
    model = build_end_to_end(str(path))
    choose_trainable(model, frozen=["dynamic_steps/*/conv_1"])
    assert frozen_at_random(model) == ("dynamic_steps/dynamic_encoder/conv_1",)


def test_nothing_is_known_of_a_model_of_another_kind():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5)])
    choose_trainable(model, frozen=["*"])
    assert frozen_at_random(model) == ()
