import keras
import numpy as np
import pytest

from pipeline.core.errors import ModelError
from pipeline.core.traits import TRAITS
from pipeline.models import FUSIONS, CompletePersonalityModel
from pipeline.models.complete_personality_model import GraphReader


def predict(model, inputs):
    return model.predict(inputs, verbose=0)


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("kind", ["vectors", "sequences"])
def test_inputs_are_accepted_in_order_or_by_name(kind, request):
    case = request.getfixturevalue(kind)
    model = case.build()
    expected = predict(model, case.values)
    for inputs in (case.inputs, dict(reversed(case.inputs.items())), tuple(case.values)):
        np.testing.assert_array_equal(predict(model, inputs), expected)


def test_streams_of_equal_width_are_not_swapped(vectors):
    model = vectors.build()
    static, dynamic = vectors.values
    swapped = {"static": dynamic, "dynamic": static}
    assert not np.allclose(model(vectors.inputs), model(swapped), atol=1e-4)
    np.testing.assert_array_equal(model(swapped), model([dynamic, static]))


@pytest.mark.filterwarnings("error::UserWarning")
def test_the_model_trains_on_inputs_by_name(mixed, labels):
    by_name, in_order = mixed.build(), mixed.build()
    in_order.set_weights(by_name.get_weights())
    for model, inputs in ((by_name, mixed.inputs), (in_order, mixed.values)):
        model.compile("sgd", "mse")
        model.fit(inputs, labels, shuffle=False, verbose=0)
    np.testing.assert_array_equal(by_name(mixed.values), in_order(mixed.values))


def test_masks_may_be_numbers(sequences):
    model = sequences.build()
    numbers = {
        name: values.astype("float32") if name.endswith("_mask") else values
        for name, values in sequences.inputs.items()
    }
    np.testing.assert_array_equal(model(numbers), model(sequences.inputs))


def test_names_of_inputs_outputs_and_layers(sequences):
    model = sequences.build(num_blocks=2)
    assert [tensor.name for tensor in model.inputs] == list(sequences.inputs)
    assert model.output_names == ["traits"]
    assert model.output_shape == (None, len(TRAITS))
    names = {layer.name for layer in model.layers}
    assert {"static_standardize", "dynamic_tokens", "block_1", "block_2", "traits"} <= names


def test_positional_arguments_have_the_order_of_the_signature():
    architecture = CompletePersonalityModel(6, 4, 16, 2, 0.1).architecture
    assert (architecture.static_dim, architecture.dynamic_dim) == (6, 4)
    assert (architecture.fusion_dim, architecture.num_heads) == (16, 2)
    assert architecture.dropout_rate == 0.1


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_configuration_describes_the_whole_model(fusion, mixed):
    model = mixed.build(fusion=fusion, num_blocks=2, linear_skip=False, name="other")
    copy = CompletePersonalityModel.from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    assert [w.path for w in copy.weights] == [w.path for w in model.weights]
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy(mixed.values), model(mixed.values))


def test_dropout_is_active_only_during_training(vectors):
    model = vectors.build(dropout_rate=0.5)
    np.testing.assert_array_equal(model(vectors.values), model(vectors.values))
    training = [np.asarray(model(vectors.values, training=True)) for _ in range(2)]
    assert not np.array_equal(*training)


def test_statistics_are_never_trainable(vectors):
    model = vectors.build()
    trainable = [weight.path for weight in model.trainable_weights]
    for layer in model.layers:
        layer.trainable = True
    assert [weight.path for weight in model.trainable_weights] == trainable
    assert {w.path for w in model.weights} - set(trainable) == {
        f"{stream}_standardize/{name}"
        for stream in ("static", "dynamic")
        for name in ("mean", "scale")
    }


class TestAdapt:
    def test_a_new_model_predicts_about_the_label_mean(self, vectors):
        model = vectors.build()
        mean = np.array([0.57, 0.52, 0.48, 0.55, 0.52])
        moments = (np.ones(4), np.full(4, 4.0))
        model.adapt(static_moments=moments, dynamic_moments=moments, label_mean=mean)
        np.testing.assert_allclose(model(vectors.values), [mean] * 12, atol=0.1)

    def test_each_stream_gets_its_own_moments(self, vectors):
        model = vectors.build()
        model.adapt(
            static_moments=(np.full(4, 3.0), np.full(4, 4.0)),
            dynamic_moments=(np.full(4, 5.0), np.full(4, 0.25)),
        )
        static, dynamic = (model.get_layer(f"{s}_standardize") for s in ("static", "dynamic"))
        np.testing.assert_allclose([static.mean[0], static.scale[0]], [3.0, 0.5])
        np.testing.assert_allclose([dynamic.mean[0], dynamic.scale[0]], [5.0, 2.0])

    @pytest.mark.parametrize("fusion", FUSIONS)
    def test_every_fusion_can_be_adapted(self, fusion, mixed):
        moments = {"static_moments": (np.zeros(4), np.ones(4))}
        moments["dynamic_moments"] = (np.zeros(3), np.ones(3))
        mixed.build(fusion=fusion).adapt(**moments, label_mean=np.full(5, 0.5))

    def test_features_that_were_constant_are_ignored(self, vectors):
        model = vectors.build()
        variance = np.array([1.0, 0.0, 1.0, 1.0])
        model.adapt(static_moments=(np.ones(4), variance), dynamic_moments=(np.ones(4),) * 2)
        expected = np.asarray(model(vectors.values))
        vectors.inputs["static"][:, 1] = 1e9
        np.testing.assert_array_equal(model(vectors.values), expected)


class TestAttention:
    def test_cross_attention_returns_both_directions_and_the_traits(self, mixed):
        weights = mixed.build(num_blocks=2).attention(mixed.values, batch_size=5)
        assert {name: values.shape for name, values in weights.items()} == {
            "block_1/static_to_dynamic": (12, 2, 5, 3),
            "block_1/dynamic_to_static": (12, 2, 3, 5),
            "block_2/static_to_dynamic": (12, 2, 5, 3),
            "block_2/dynamic_to_static": (12, 2, 3, 5),
            "traits": (12, 2, 5, 8),
        }

    def test_a_single_stream_returns_its_traits(self, mixed):
        model = mixed.build(fusion="static_only")
        assert model.attention(mixed.values)["traits"].shape == (12, 2, 5, 5)
        assert model.attention_keys == {"static": 5}

    def test_late_fusion_returns_the_traits_of_each_stream(self, mixed):
        weights = mixed.build(fusion="late").attention(mixed.inputs)
        assert weights["static/traits"].shape == (12, 2, 5, 5)
        assert weights["dynamic/traits"].shape == (12, 2, 5, 3)

    def test_static_keys_come_first(self, mixed):
        model = mixed.build()
        assert model.attention_keys == {"static": 5, "dynamic": 3}
        on_static = np.moveaxis(model.attention(mixed.values)["traits"][..., :5], -1, 1)
        padding = ~mixed.inputs["static_mask"]
        assert (on_static[padding] == 0).all()
        assert (on_static[~padding] > 0).all()

    def test_padding_has_weight_zero_in_every_map(self, sequences):
        weights = sequences.build().attention(sequences.values)
        static, dynamic = ~sequences.inputs["static_mask"], ~sequences.inputs["dynamic_mask"]
        for name, padding in {
            "block_1/static_to_dynamic": dynamic,
            "block_1/dynamic_to_static": static,
            "traits": np.concatenate([static, dynamic], axis=1),
        }.items():
            assert (np.moveaxis(weights[name], -1, 1)[padding] == 0).all()

    def test_dropout_does_not_change_the_weights(self, vectors):
        model = vectors.build(dropout_rate=0.5)
        once, again = (model.attention(vectors.values)["traits"] for _ in range(2))
        np.testing.assert_array_equal(once, again)

    def test_changed_model_weights_change_the_attention(self, vectors):
        model = vectors.build()
        before = model.attention(vectors.values)["traits"]
        model.set_weights([2.0 * weight for weight in model.get_weights()])
        assert not np.allclose(model.attention(vectors.values)["traits"], before, atol=1e-3)

    def test_reading_changes_neither_layers_nor_weights(self, vectors):
        model = vectors.build()
        before = ([x.name for x in model.layers], [w.path for w in model.weights])
        model.attention(vectors.values)
        assert ([x.name for x in model.layers], [w.path for w in model.weights]) == before

    @pytest.mark.parametrize("fusion", ["concat", "gated"])
    def test_a_fusion_without_attention_is_an_error(self, fusion, vectors):
        with pytest.raises(ModelError, match=f"fusion='{fusion}' .*cross_attention, late"):
            vectors.build(fusion=fusion).attention(vectors.values)


def test_a_graph_reader_returns_tensors_in_the_order_of_their_names():
    values = np.array([[1.0, 2.0], [3.0, 4.0]], dtype="float32")
    inputs = keras.Input((2,), name="static")
    reader = GraphReader([inputs], {"b/doubled": inputs * 2, "a/plus one": inputs + 1})
    found = reader.read([values], batch_size=1)
    assert list(found) == ["b/doubled", "a/plus one"]
    np.testing.assert_array_equal(found["b/doubled"], values * 2)
    np.testing.assert_array_equal(found["a/plus one"], values + 1)
