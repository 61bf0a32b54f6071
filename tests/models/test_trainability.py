import keras
import numpy as np
import pytest

from pipeline.core.errors import ModelError
from pipeline.models.trainability import choose_trainable, layer_states


@pytest.fixture
def nested():
    """A model that holds a model and a wrapped layer, then a head."""
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


def learning(model):
    return {state.path for state in layer_states(model) if state.trainable}


def fit(model):
    numbers = np.random.default_rng(0)
    model.compile("adam", "mse")
    model.fit(numbers.random((8, 5, 4)), numbers.random((8, 1)), verbose=0)


def test_layers_inside_of_models_and_wrappers_have_paths(nested):
    states = {state.path: (state.trainable, state.total) for state in layer_states(nested)}
    assert states == {
        "steps/encoder/first": (15, 15),
        "steps/encoder/norm": (6, 12),
        "head": (16, 16),
    }


@pytest.mark.parametrize(
    ("frozen", "left"),
    [
        (["steps"], {"head"}),
        (["steps/encoder/*"], {"head"}),
        (["*/norm"], {"steps/encoder/first", "head"}),
        (["h?ad"], {"steps/encoder/first", "steps/encoder/norm"}),
        (["*"], set()),
        ([], {"steps/encoder/first", "steps/encoder/norm", "head"}),
    ],
)
def test_a_pattern_means_a_layer_and_all_that_it_holds(nested, frozen, left):
    choose_trainable(nested, frozen=frozen)
    assert learning(nested) == left


def test_frozen_wins_over_trainable(nested):
    choose_trainable(nested, trainable=["*"], frozen=["steps"])
    assert learning(nested) == {"head"}


def test_a_part_of_what_was_frozen_as_a_whole_is_let_go(nested):
    nested.get_layer("steps").trainable = False
    choose_trainable(nested, trainable=["steps/encoder/first"])
    assert learning(nested) == {"steps/encoder/first", "head"}


def test_without_patterns_a_model_stays_as_it_is(nested):
    nested.get_layer("head").trainable = False
    choose_trainable(nested)
    assert learning(nested) == {"steps/encoder/first", "steps/encoder/norm"}


def test_frozen_weights_stay_to_the_bit_and_the_others_move(nested):
    choose_trainable(nested, frozen=["steps"])
    steps, head = nested.get_layer("steps"), nested.get_layer("head")
    before = [layer.get_weights() for layer in (steps, head)]
    fit(nested)
    for old, new in zip(before[0], steps.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)  # the statistics of the normalisation too
    assert not np.array_equal(before[1][0], head.get_weights()[0])


def test_the_optimiser_holds_the_trainable_weights_and_no_others(nested):
    choose_trainable(nested, frozen=["steps/encoder/first"])
    fit(nested)
    covered = {variable.path for variable in nested.optimizer._trainable_variables}
    assert covered == {variable.path for variable in nested.trainable_variables}
    assert not [path for path in covered if "first" in path]


@pytest.mark.parametrize("setting", ["trainable", "frozen"])
def test_a_pattern_that_matches_nothing_is_refused_with_the_nearest_layer(nested, setting):
    with pytest.raises(ModelError) as refusal:
        choose_trainable(nested, **{setting: ["steps/encoder/frist"]})
    assert f"training.{setting}: the pattern 'steps/encoder/frist'" in str(refusal.value)
    assert "did you mean 'steps/encoder/first'?" in str(refusal.value)


def test_the_flagship_can_be_frozen_in_part(sequences):
    model = sequences.build()
    choose_trainable(model, frozen=["static_*", "linear_skip"])
    assert not {path for path in learning(model) if path.startswith(("static_", "linear_skip"))}
    assert learning(model)
