import keras
import numpy as np
import pytest

from pipeline.config.schema import ModelConfig
from pipeline.core.errors import ModelError
from pipeline.models.build import StreamSpec, build_model
from pipeline.models.end_to_end import EndToEndModel
from pipeline.models.persistence import load_model, save_model
from pipeline.models.standardize import Standardize
from pipeline.models.trainability import choose_trainable, layer_states

pytestmark = pytest.mark.slow

FACES = StreamSpec(width=3, num_steps=4, picture=(16, 16), masked=True)
FLOW = StreamSpec(width=2, num_steps=5, picture=(8, 8))
SMALL = {"fusion": "concat", "fusion_dim": 8, "num_heads": 2, "dropout_rate": 0.0}
CROSS = {"fusion": "cross_attention"}


def build(static=FACES, dynamic=FLOW, **settings):
    keras.utils.set_random_seed(0)
    encoders = {"static_encoder": "conv", "dynamic_encoder": "conv"}
    return build_model(
        ModelConfig(**{**SMALL, **encoders, **settings}), static=static, dynamic=dynamic
    )


@pytest.fixture
def inputs():
    numbers = np.random.default_rng(0)
    mask = np.ones((6, 4), np.float32)
    mask[0, 2:] = 0
    return [
        numbers.uniform(0, 255, (6, 4, 16, 16, 3)).astype(np.float32),
        numbers.normal(size=(6, 5, 8, 8, 2)).astype(np.float32),
        mask,
    ]


def adapt(model, inputs):
    moments = [(x.mean((0, 1, 2, 3)), x.var((0, 1, 2, 3))) for x in inputs[:2]]
    model.adapt(static_moments=moments[0], dynamic_moments=moments[1], label_mean=np.full(5, 0.6))


def fit(model, inputs):
    model.compile(keras.optimizers.AdamW(0.01), "mse")
    model.fit(inputs, np.random.default_rng(1).random((6, 5)), epochs=2, verbose=0)


def learning(model):
    return {state.path for state in layer_states(model) if state.trainable}


def test_pictures_and_flow_become_five_scores(inputs):
    model = build(**CROSS)
    adapt(model, inputs)
    scores = model.predict(inputs, verbose=0)
    assert scores.shape == (6, 5)
    assert ((scores >= 0) & (scores <= 1)).all()


@pytest.fixture
def saved_encoder(tmp_path):
    """Return a function that saves a network of some layers as an encoder of any picture."""

    def save(*layers, shape=(None, None, 3)):
        mean = keras.layers.GlobalAveragePooling2D()
        path = tmp_path / "encoder.keras"
        keras.Sequential([keras.Input(shape), *layers, mean]).save(path)
        return str(path)

    return save


def test_an_encoder_that_is_drawn_learns_and_one_that_is_loaded_comes_frozen(saved_encoder):
    paths = learning(build(static_encoder=saved_encoder(keras.layers.Conv2D(4, 3))))
    assert not [path for path in paths if "static_encoder" in path]
    assert [path for path in paths if "dynamic_encoder" in path]
    assert [path for path in paths if "trait" in path]


def test_a_loaded_encoder_of_any_size_takes_the_size_of_the_pictures(
    saved_encoder, inputs, tmp_path
):
    model = build(static_encoder=saved_encoder(keras.layers.Conv2D(4, 3)))
    assert model.input_shape[0] == (None, 4, 16, 16, 3)
    save_model(model, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert loaded.input_shape == model.input_shape
    np.testing.assert_array_equal(loaded.predict_on_batch(inputs), model.predict_on_batch(inputs))


def test_the_statistics_of_a_loaded_encoder_stay(saved_encoder, inputs):
    layer = Standardize(name="standardize")
    path = saved_encoder(layer)
    layer.set_moments(np.full(3, 100.0), np.full(3, 4.0))
    path = saved_encoder(layer)
    model = build(static_encoder=path)
    adapt(model, inputs)
    mean, scale = model.get_layer("static_steps").layer.get_layer("standardize").get_weights()
    assert (mean.tolist(), scale.tolist()) == ([100.0] * 3, [0.5] * 3)


def test_a_layer_of_a_loaded_encoder_may_have_any_name(saved_encoder, inputs):
    model = build(static_encoder=saved_encoder(keras.layers.Rescaling(1 / 255, name="standardize")))
    adapt(model, inputs)
    value, words = model.stand_in("static")
    assert (value.tolist(), words) == ([0.0], "zeros (of a picture: black)")


def test_frozen_layers_are_not_adapted(inputs):
    model = build()
    choose_trainable(model, frozen=["static_steps", "*/traits"])
    adapt(model, inputs)
    np.testing.assert_array_equal(model.stand_in("static")[0], np.zeros(3))
    fusion = model.get_layer("complete_personality_model")
    np.testing.assert_array_equal(fusion.get_layer("traits").get_weights()[0], np.zeros(5))
    assert model.stand_in("dynamic")[0].any()


def test_a_model_knows_whether_it_is_adapted(inputs, tmp_path):
    model = build()
    assert not model.is_adapted
    adapt(model, inputs)
    save_model(model, tmp_path / "model.keras")
    assert load_model(tmp_path / "model.keras").is_adapted


def test_frozen_encoders_stay_to_the_bit_while_the_fusion_moves(inputs):
    model = build()
    choose_trainable(model, frozen=["static_steps"])
    adapt(model, inputs)
    encoder = model.get_layer("static_steps").layer
    before, other = (
        encoder.get_weights(),
        model.get_layer("complete_personality_model").get_weights(),
    )
    fit(model, inputs)
    for old, new in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    after = model.get_layer("complete_personality_model").get_weights()
    assert not all(np.array_equal(old, new) for old, new in zip(other, after, strict=True))


def test_a_part_of_an_encoder_learns_where_a_pattern_says_so(inputs):
    model = build()
    adapt(model, inputs)
    choose_trainable(model, frozen=["*/static_encoder/*"])
    choose_trainable(model, trainable=["*/static_encoder/conv_3"])
    encoder = model.get_layer("static_steps").layer
    before = {layer.name: layer.get_weights() for layer in encoder.layers}
    fit(model, inputs)
    moved = {
        layer.name
        for layer in encoder.layers
        if any(
            (old != new).any()
            for old, new in zip(before[layer.name], layer.get_weights(), strict=True)
        )
    }
    assert moved == {"conv_3"}
    covered = {variable.path for variable in model.optimizer._trainable_variables}
    assert covered == {variable.path for variable in model.trainable_variables}


def test_padding_cannot_reach_a_score(inputs):
    model = build(**CROSS)
    adapt(model, inputs)
    before = model.predict(inputs, verbose=0)
    inputs[0][0, 2:] = 200
    np.testing.assert_allclose(model.predict(inputs, verbose=0), before, atol=1e-6)


def test_what_is_saved_scores_and_looks_the_same(inputs, tmp_path):
    model = build(**CROSS)
    adapt(model, inputs)
    numbers = np.random.default_rng(1)  # as after a training, when none is where it began
    model.set_weights([each + numbers.normal(0, 0.1, each.shape) for each in model.get_weights()])
    save_model(model, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert isinstance(loaded, EndToEndModel)
    np.testing.assert_array_equal(loaded.predict_on_batch(inputs), model.predict_on_batch(inputs))
    for name, weights in model.attention(inputs).items():
        np.testing.assert_array_equal(loaded.attention(inputs)[name], weights)


def test_attention_goes_over_the_steps(inputs):
    model = build(**CROSS)
    assert model.attention_keys == {"static": 4, "dynamic": 5}
    weights = model.attention(inputs)["traits"]
    assert weights.shape == (6, 2, 5, 9)
    assert (weights[0, :, :, 2:4] == 0).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)


def test_one_stream_may_be_encoded_already(inputs):
    features = StreamSpec(width=7, num_steps=5)
    model = build(dynamic=features, dynamic_encoder="", **CROSS)
    flow = np.random.default_rng(2).normal(size=(6, 5, 7)).astype(np.float32)
    assert model.predict([inputs[0], flow, inputs[2]], verbose=0).shape == (6, 5)


def test_a_hidden_step_shows_the_mean_of_the_training_clips(inputs):
    model = build()
    adapt(model, inputs)
    value, words = model.stand_in("dynamic")
    np.testing.assert_allclose(value, inputs[1].mean((0, 1, 2, 3)), atol=1e-6)
    assert words == "the mean of the training clips"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"static_encoder": ""}, "model.static_encoder is not set. Set it to conv"),
        ({"dynamic": StreamSpec(width=7)}, "holds features, not pictures"),
        ({"static_encoder": "vgg16"}, "expected 'conv' or the path of a .keras file"),
    ],
)
def test_streams_and_encoders_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(ModelError) as refusal:
        build(**changes)
    assert words in str(refusal.value)
