import keras
import numpy as np
import pytest

from pipeline.config.schema import ModelConfig
from pipeline.core.errors import ModelError
from pipeline.models import StreamSpec, build_model, load_model, save_model
from pipeline.models.end_to_end import EndToEndModel
from pipeline.models.standardize import Standardize
from pipeline.models.trainability import choose_trainable, frozen_at_random, layer_states

pytestmark = pytest.mark.slow

FACES = StreamSpec(width=3, num_steps=4, image_size=(16, 16), masked=True)
FLOW = StreamSpec(width=2, num_steps=5, image_size=(8, 8))
SMALL = {"fusion": "concat", "fusion_dim": 8, "num_heads": 2, "dropout_rate": 0.0}
CROSS = {"fusion": "cross_attention"}


def build(static=FACES, dynamic=FLOW, **settings):
    keras.utils.set_random_seed(0)
    encoders = {"static_encoder": "conv", "dynamic_encoder": "conv"}
    config = ModelConfig(**{**SMALL, **encoders, **settings})
    return build_model(config, {"static": static, "dynamic": dynamic})


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


@pytest.fixture
def saved_encoder(tmp_path):
    """Return a function that saves layers as an encoder for images of any size."""

    def save(*layers):
        mean = keras.layers.GlobalAveragePooling2D()
        path = tmp_path / "encoder.keras"
        keras.Sequential([keras.Input((None, None, 3)), *layers, mean]).save(path)
        return str(path)

    return save


def adapt(model, inputs):
    moments = [(x.mean((0, 1, 2, 3)), x.var((0, 1, 2, 3))) for x in inputs[:2]]
    model.adapt(dict(zip(("static", "dynamic"), moments, strict=True)), label_mean=np.full(5, 0.6))


def test_a_new_encoder_is_trainable_and_a_loaded_encoder_is_frozen(saved_encoder):
    model = build(static_encoder=saved_encoder(keras.layers.Conv2D(4, 3)))
    paths = {state.path for state in layer_states(model) if state.trainable}
    assert not [path for path in paths if "static_encoder" in path]
    assert [path for path in paths if "dynamic_encoder" in path]
    assert [path for path in paths if "trait" in path]
    choose_trainable(model, frozen=["dynamic_steps/*/conv_1"])
    assert frozen_at_random(model) == ("dynamic_steps/dynamic_encoder/conv_1",)


def test_a_loaded_encoder_for_any_size_gets_the_size_of_the_images(saved_encoder, inputs, tmp_path):
    model = build(static_encoder=saved_encoder(keras.layers.Conv2D(4, 3)))
    assert model.input_shape[0] == (None, 4, 16, 16, 3)
    save_model(model, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert loaded.input_shape == model.input_shape
    np.testing.assert_array_equal(loaded.predict_on_batch(inputs), model.predict_on_batch(inputs))


def test_a_loaded_encoder_keeps_its_statistics(saved_encoder, inputs):
    layer = Standardize(name="standardize")
    saved_encoder(layer)
    layer.set_moments(np.full(3, 100.0), np.full(3, 4.0))
    model = build(static_encoder=saved_encoder(layer))
    adapt(model, inputs)
    mean, scale = model.get_layer("static_steps").layer.get_layer("standardize").get_weights()
    assert (mean.tolist(), scale.tolist()) == ([100.0] * 3, [0.5] * 3)


def test_a_hidden_step_is_zero_for_a_loaded_encoder_and_else_the_mean(saved_encoder, inputs):
    model = build(static_encoder=saved_encoder(keras.layers.Rescaling(1 / 255, name="standardize")))
    adapt(model, inputs)
    (zeros, static_words), (mean, dynamic_words) = map(
        model.hidden_step_value, ("static", "dynamic")
    )
    assert zeros.tolist() == [0.0]
    np.testing.assert_allclose(mean, inputs[1].mean((0, 1, 2, 3)), atol=1e-6)
    assert "zeros" in static_words
    assert "mean" in dynamic_words


def test_frozen_layers_are_not_adapted(inputs):
    model = build()
    choose_trainable(model, frozen=["static_steps", "*/traits"])
    adapt(model, inputs)
    np.testing.assert_array_equal(model.hidden_step_value("static")[0], np.zeros(3))
    fusion = model.get_layer("complete_personality_model")
    np.testing.assert_array_equal(fusion.get_layer("traits").get_weights()[0], np.zeros(5))
    assert model.hidden_step_value("dynamic")[0].any()


def test_values_of_padding_change_no_score(inputs):
    model = build(**CROSS)
    adapt(model, inputs)
    before = model.predict(inputs, verbose=0)
    assert before.shape == (6, 5)
    assert ((before >= 0) & (before <= 1)).all()
    inputs[0][0, 2:] = 200
    np.testing.assert_allclose(model.predict(inputs, verbose=0), before, atol=1e-6)


def test_a_loaded_model_has_the_same_scores_and_attention(inputs, tmp_path):
    model = build(**CROSS)
    adapt(model, inputs)
    numbers = np.random.default_rng(1)  # after training, no weight has its initial value
    model.set_weights([each + numbers.normal(0, 0.1, each.shape) for each in model.get_weights()])
    save_model(model, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert isinstance(loaded, EndToEndModel)
    assert loaded.is_adapted
    np.testing.assert_array_equal(loaded.predict_on_batch(inputs), model.predict_on_batch(inputs))
    for name, weights in model.attention(inputs).items():
        np.testing.assert_array_equal(loaded.attention(inputs)[name], weights)


def test_the_keys_of_the_attention_are_the_steps(inputs):
    model = build(**CROSS)
    assert model.attention_keys == {"static": 4, "dynamic": 5}
    weights = model.attention(inputs)["traits"]
    assert weights.shape == (6, 2, 5, 9)
    assert (weights[0, :, :, 2:4] == 0).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)


def test_one_stream_may_contain_features(inputs):
    model = build(dynamic=StreamSpec(width=7, num_steps=5), dynamic_encoder="", **CROSS)
    flow = np.random.default_rng(2).normal(size=(6, 5, 7)).astype(np.float32)
    assert model.predict([inputs[0], flow, inputs[2]], verbose=0).shape == (6, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"static_encoder": ""}, "model.static_encoder is not set. Set it to conv"),
        ({"dynamic": StreamSpec(width=7)}, "features, not images"),
        ({"static_encoder": "vgg16"}, "must be 'conv' or the path of a .keras file"),
    ],
)
def test_an_encoder_that_does_not_fit_its_stream_is_an_error(changes, message):
    with pytest.raises(ModelError, match=message):
        build(**changes)


def test_a_loaded_encoder_must_map_the_images_to_vectors(saved_encoder, tmp_path):
    with pytest.raises(ModelError, match=r"images have the shape \(8, 8, 2\)"):
        build(dynamic_encoder=saved_encoder(keras.layers.Conv2D(4, 3)))
    keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3)]).save(
        tmp_path / "maps.keras"
    )
    with pytest.raises(ModelError, match="pooling='avg'"):
        build(static_encoder=str(tmp_path / "maps.keras"))
