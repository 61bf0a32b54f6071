import keras
import numpy as np
import pytest

from pipeline.config.schema import ModelConfig
from pipeline.core.errors import ModelError
from pipeline.models import StreamSpec, WeightCounts, build_model, count_weights
from pipeline.models.trainability import choose_trainable, frozen_at_random, layer_states


@pytest.fixture
def nested():
    """A model with a wrapped model and a head."""
    encoder = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, name="first"),
            keras.layers.BatchNormalization(name="norm"),
        ],
        name="encoder",
    )
    inputs = keras.Input((5, 4))
    steps = keras.layers.TimeDistributed(encoder, name="steps")(inputs)
    outputs = keras.layers.Dense(1, name="head")(keras.layers.Flatten()(steps))
    return keras.Model(inputs, outputs)


def trainable_paths(model):
    return {state.path for state in layer_states(model) if state.trainable}


def test_layers_in_models_and_wrappers_have_paths(nested):
    states = {state.path: (state.trainable, state.total) for state in layer_states(nested)}
    assert states == {
        "steps/encoder/first": (15, 15),
        "steps/encoder/norm": (6, 12),
        "head": (16, 16),
    }


@pytest.mark.parametrize(
    ("trainable", "frozen", "left"),
    [
        ([], ["steps"], {"head"}),
        ([], ["steps/encoder/*"], {"head"}),
        ([], ["*/norm"], {"steps/encoder/first", "head"}),
        ([], ["h?ad"], {"steps/encoder/first", "steps/encoder/norm"}),
        ([], ["*"], set()),
        ([], [], {"steps/encoder/first", "steps/encoder/norm", "head"}),
        (["*"], ["steps"], {"head"}),
    ],
)
def test_a_pattern_selects_a_layer_and_all_layers_in_it(nested, trainable, frozen, left):
    choose_trainable(nested, trainable=trainable, frozen=frozen)
    assert trainable_paths(nested) == left


def test_a_layer_of_a_frozen_model_can_be_trainable(nested):
    nested.get_layer("steps").trainable = False
    choose_trainable(nested, trainable=["steps/encoder/first"])
    assert trainable_paths(nested) == {"steps/encoder/first", "head"}


def test_training_changes_only_weights_that_are_not_frozen(nested):
    choose_trainable(nested, frozen=["steps"])
    steps, head = nested.get_layer("steps"), nested.get_layer("head")
    before = [layer.get_weights() for layer in (steps, head)]
    numbers = np.random.default_rng(0)
    nested.compile("adam", "mse")
    nested.fit(numbers.random((8, 5, 4)), numbers.random((8, 1)), verbose=0)
    for old, new in zip(before[0], steps.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)  # including the statistics of the normalization
    assert not np.array_equal(before[1][0], head.get_weights()[0])


@pytest.mark.parametrize("setting", ["trainable", "frozen"])
def test_a_pattern_without_a_match_is_an_error(nested, setting):
    message = f"training.{setting}: .*'steps/encoder/frist'.* mean 'steps/encoder/first'"
    with pytest.raises(ModelError, match=message):
        choose_trainable(nested, **{setting: ["steps/encoder/frist"]})


def test_only_the_total_includes_frozen_weights_and_statistics(nested):
    choose_trainable(nested, frozen=["head"])
    assert count_weights(nested) == WeightCounts(trainable=15 + 6, total=15 + 12 + 16)


class TestFrozenAtRandom:
    @pytest.fixture
    def model(self):
        return build_model(
            ModelConfig(fusion_dim=8, num_heads=2),
            {"static": StreamSpec(width=6, num_steps=3), "dynamic": StreamSpec(width=4)},
        )

    @pytest.mark.parametrize(
        ("frozen", "expected"),
        [
            ([], ()),
            # Zeros, ones and waves are not random.
            (["static_*", "linear_skip", "traits"], ("static_tokens",)),
            (["dynamic_positions"], ("dynamic_positions",)),
        ],
    )
    def test_frozen_layers_with_random_weights_are_found(self, model, frozen, expected):
        choose_trainable(model, frozen=frozen)
        assert frozen_at_random(model) == expected

    def test_an_adapted_model_counts_as_trained(self, model):
        choose_trainable(model, frozen=["static_tokens"])
        model.get_layer("traits").set_label_mean(np.full(5, 0.6))
        assert frozen_at_random(model) == ()

    def test_other_model_classes_have_no_result(self):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5)])
        choose_trainable(model, frozen=["*"])
        assert frozen_at_random(model) == ()
