"""Models of any number of streams and traits."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.core.errors import ModelError
from pipeline.core.seeds import generator
from pipeline.models import FUSIONS, PersonalityModel, StreamSpec, load_model, save_model

NUM_CLIPS = 6
STREAMS = {
    "static": StreamSpec(width=4, num_steps=5, masked=True, can_be_absent=True),
    "audio": StreamSpec(width=3, masked=True, can_be_absent=True),
    "gaze-2": StreamSpec(width=2, num_steps=4),
    "pose": StreamSpec(width=5),
    "words": StreamSpec(width=4, num_steps=3, masked=True),
}
JOINT = [name for name, fusion in FUSIONS.items() if not fusion.only_stream]


def build(num_streams, **changes):
    names = [*STREAMS][:num_streams]
    small = {"fusion_dim": 8, "num_heads": 2, "dropout_rate": 0.0, "num_tokens": 3}
    keras.utils.set_random_seed(0)
    streams = {name: STREAMS[name] for name in names}
    return PersonalityModel(
        **{"streams": streams, "traits": ["honesty", "interview", "x"], **small, **changes}
    )


def clips(model):
    """Return inputs. Clip 0 lacks every stream that can be absent, and clip 1 lacks `audio`."""
    inputs = {}
    for tensor in model.inputs:
        shape = (NUM_CLIPS, *tensor.shape[1:])
        rng = generator(0, tensor.name)
        if tensor.dtype != "bool":
            inputs[tensor.name] = rng.normal(1.0, 2.0, shape).astype("float32")
            continue
        mask = rng.random(shape) < 0.6
        mask[:, 0] = True
        stream = tensor.name.removesuffix("_mask")
        if STREAMS[stream].can_be_absent:
            mask[: 2 if stream == "audio" else 1] = False
        inputs[tensor.name] = mask
    return inputs


def scores(model, inputs):
    return np.asarray(model(list(inputs.values())))


@pytest.mark.parametrize("fusion", JOINT)
@pytest.mark.parametrize("num_streams", [1, 2, 3, 5])
def test_every_joint_fusion_takes_any_number_of_streams_and_traits(num_streams, fusion):
    model = build(num_streams, fusion=fusion)
    inputs = clips(model)
    names = tuple(STREAMS)[:num_streams]
    masks = [f"{name}_mask" for name in names if STREAMS[name].masked]
    assert [tensor.name for tensor in model.inputs] == [*names, *masks]
    assert (model.stream_names, model.trait_names) == (names, ("honesty", "interview", "x"))
    found = scores(model, inputs)
    assert found.shape == (NUM_CLIPS, 3)
    assert ((found > 0) & (found < 1)).all()


@pytest.mark.parametrize("fusion", JOINT)
def test_every_trainable_weight_has_a_gradient(fusion):
    model = build(5, fusion=fusion, num_blocks=2, stream_dropout=0.3)
    inputs = list(clips(model).values())
    with tf.GradientTape() as tape:
        loss = keras.ops.mean((model(inputs, training=True) - 0.1) ** 2)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    idle = [
        weight.path
        for weight, gradient in zip(model.trainable_weights, gradients, strict=True)
        if gradient is None or not np.any(np.abs(gradient) > 1e-10)
    ]
    # With stream dropout, a token is used only if some clip lacks its stream.
    assert [path for path in idle if "_absent/" not in path] == []


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("fusion", JOINT)
def test_a_saved_model_has_the_same_streams_traits_and_scores(fusion, suffix, tmp_path):
    model = build(5, fusion=fusion, num_blocks=2)
    rng = generator(0, "weights")
    model.set_weights([rng.normal(0.5, 0.2, weight.shape) for weight in model.get_weights()])
    save_model(model, tmp_path / f"model{suffix}")
    loaded = load_model(tmp_path / f"model{suffix}")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(scores(loaded, clips(model)), scores(model, clips(model)))


@pytest.mark.parametrize(
    ("num_streams", "fusion", "shapes"),
    [
        (1, "cross_attention", {"block_1/static_to_static": (5, 5), "traits": (3, 5)}),
        (
            3,
            "cross_attention",
            {
                "block_1/static_to_audio+gaze-2": (5, 7),
                "block_1/audio_to_static+gaze-2": (3, 9),
                "block_1/gaze-2_to_static+audio": (4, 8),
                "traits": (3, 12),
            },
        ),
        (1, "late", {"static/traits": (3, 5)}),
        (
            3,
            "late",
            {"static/traits": (3, 5), "audio/traits": (3, 3), "gaze-2/traits": (3, 4)},
        ),
        (3, "static_only", {"traits": (3, 5)}),
    ],
)
def test_attention_maps_have_the_names_of_their_streams(num_streams, fusion, shapes):
    model = build(num_streams, fusion=fusion)
    weights = model.attention(list(clips(model).values()))
    assert {name: values.shape[2:] for name, values in weights.items()} == shapes
    for values in weights.values():
        np.testing.assert_allclose(values.sum(axis=-1), 1.0, atol=1e-5)


def test_without_stream_dropout_only_streams_that_can_be_absent_have_a_token():
    layers = {layer.name for layer in build(5).layers}
    assert {name for name in layers if name.endswith("_absent")} == {
        "static_absent",
        "audio_absent",
    }
    assert "dropped_streams" not in layers
    layers = {layer.name for layer in build(5, stream_dropout=0.1).layers}
    assert {f"{name}_absent" for name in STREAMS} | {"dropped_streams"} <= layers


class TestAbsentStream:
    @pytest.mark.parametrize("fusion", JOINT)
    def test_its_values_change_no_score(self, fusion):
        model = build(3, fusion=fusion)
        inputs = clips(model)
        expected = scores(model, inputs)
        inputs["static"][0], inputs["audio"][:2] = np.nan, 1e30
        np.testing.assert_array_equal(scores(model, inputs), expected)

    def test_its_token_gets_all_the_attention_to_the_stream(self):
        model = build(2)
        weights = model.attention(list(clips(model).values()))
        to_audio = weights["block_1/static_to_audio"]
        np.testing.assert_array_equal(to_audio[1, ..., 0], np.ones((2, 5)))
        assert (weights["traits"][1, ..., 5] > 0).all()
        assert (weights["traits"][1, ..., 6:] == 0).all()
        assert (to_audio[2] > 0).all()

    @pytest.mark.parametrize("fusion", JOINT)
    def test_its_token_affects_only_clips_that_lack_the_stream(self, fusion):
        model = build(3, fusion=fusion)
        before = scores(model, clips(model))
        token = model.get_layer("audio_absent").token
        token.assign(-token)
        changed = (scores(model, clips(model)) != before).any(axis=1)
        assert changed.tolist() == [True, True, False, False, False, False]

    def test_the_linear_model_uses_the_mean_of_the_training_clips(self):
        model = build(2)
        moments = {"static": (np.full(4, 3.0), np.ones(4)), "audio": (np.full(3, 7.0), np.ones(3))}
        model.adapt(moments)
        summary = keras.Model(model.inputs, model.get_layer("summary").output)
        found = np.asarray(summary(list(clips(model).values())))
        np.testing.assert_array_equal(found[0], np.zeros(7))
        np.testing.assert_array_equal(found[1, 4:], np.zeros(3))
        assert (found[2] != 0).all()

    def test_without_a_token_it_gets_no_attention(self):
        streams = {
            name: dataclasses.replace(STREAMS[name], can_be_absent=False)
            for name in ("static", "audio")
        }
        model = build(2, streams=streams)
        weights = model.attention(list(clips(model).values()))
        assert (weights["traits"][1, ..., 5:] == 0).all()
        assert np.isfinite(scores(model, clips(model))).all()

    def test_training_with_stream_dropout_is_reproducible(self):
        trained = []
        for _ in range(2):
            model = build(3, stream_dropout=0.4, dropout_rate=0.2)
            model.compile("sgd", "mse")
            model.fit(
                list(clips(model).values()), np.full((NUM_CLIPS, 3), 0.2), epochs=2, verbose=0
            )
            trained.append(model.get_weights())
        for first, second in zip(*trained, strict=True):
            np.testing.assert_array_equal(first, second)

    def test_stream_dropout_is_active_only_during_training(self):
        model = build(3, stream_dropout=0.5)
        inputs = list(clips(model).values())
        np.testing.assert_array_equal(model(inputs), model(inputs))
        training = [np.asarray(model(inputs, training=True)) for _ in range(5)]
        assert not all(np.array_equal(each, training[0]) for each in training)


def test_moments_of_every_stream_are_needed():
    with pytest.raises(ModelError, match=r"moments of the stream audio are missing.* static"):
        build(2).adapt({"static": (np.zeros(4), np.ones(4))})


@pytest.mark.parametrize("name", ["tokens", "static_tokens"])
def test_a_stream_with_the_name_of_a_layer_is_an_error(name):
    streams = {"static": STREAMS["static"], name: StreamSpec(width=3)}
    with pytest.raises(ModelError, match=f"streams static, {name} has the name of a layer"):
        build(2, streams=streams)
