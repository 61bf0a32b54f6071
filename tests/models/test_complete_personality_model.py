import numpy as np
import pytest

from pipeline.core.errors import ModelError
from pipeline.core.traits import TRAITS
from pipeline.models import FUSIONS, CompletePersonalityModel


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


@pytest.mark.filterwarnings("error::UserWarning")
def test_the_model_trains_on_inputs_by_name(mixed, labels):
    by_name, in_order = mixed.build(), mixed.build()
    in_order.set_weights(by_name.get_weights())
    for model, inputs in ((by_name, mixed.inputs), (in_order, mixed.values)):
        model.compile("sgd", "mse")
        model.fit(inputs, labels, shuffle=False, verbose=0)
    np.testing.assert_array_equal(by_name(mixed.values), in_order(mixed.values))


def test_a_mask_may_contain_numbers(sequences):
    model = sequences.build()
    numbers = {
        name: values.astype("float32") if name.endswith("_mask") else values
        for name, values in sequences.inputs.items()
    }
    np.testing.assert_array_equal(model(numbers), model(sequences.inputs))


def test_inputs_outputs_and_layers_have_names(sequences):
    model = sequences.build(num_blocks=2)
    assert [tensor.name for tensor in model.inputs] == list(sequences.inputs)
    assert model.output_names == ["traits"]
    assert model.output_shape == (None, len(TRAITS))
    names = {layer.name for layer in model.layers}
    assert {"static_standardize", "dynamic_tokens", "block_1", "block_2", "traits"} <= names


def test_positional_arguments_have_the_order_of_the_signature():
    architecture = CompletePersonalityModel(6, 4, 16, 2, 0.1).architecture
    assert [spec.width for spec in architecture.streams.values()] == [6, 4]
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


class TestAdapt:
    def test_a_new_model_predicts_about_the_label_mean(self, vectors):
        model = vectors.build()
        mean = np.array([0.57, 0.52, 0.48, 0.55, 0.52])
        moments = (np.ones(4), np.full(4, 4.0))
        model.adapt({"static": moments, "dynamic": moments}, label_mean=mean)
        np.testing.assert_allclose(model(vectors.values), [mean] * 12, atol=0.1)

    def test_each_stream_gets_its_own_moments(self, vectors):
        model = vectors.build()
        model.adapt(
            {
                "static": (np.full(4, 3.0), np.full(4, 4.0)),
                "dynamic": (np.full(4, 5.0), np.full(4, 0.25)),
            }
        )
        static, dynamic = (model.get_layer(f"{s}_standardize") for s in ("static", "dynamic"))
        np.testing.assert_allclose([static.mean[0], static.scale[0]], [3.0, 0.5])
        np.testing.assert_allclose([dynamic.mean[0], dynamic.scale[0]], [5.0, 2.0])


class TestAttention:
    @pytest.mark.parametrize(
        ("fusion", "shapes"),
        [
            ("static_only", {"traits": (5, 5)}),
            ("late", {"static/traits": (5, 5), "dynamic/traits": (5, 3)}),
            (
                "cross_attention",
                {
                    "block_1/static_to_dynamic": (5, 3),
                    "block_1/dynamic_to_static": (3, 5),
                    "block_2/static_to_dynamic": (5, 3),
                    "block_2/dynamic_to_static": (3, 5),
                    "traits": (5, 8),
                },
            ),
        ],
    )
    def test_the_weights_have_names_and_shapes(self, mixed, fusion, shapes):
        weights = mixed.build(fusion=fusion, num_blocks=2).attention(mixed.values, batch_size=5)
        found = {name: values.shape for name, values in weights.items()}
        assert found == {name: (12, 2, *shape) for name, shape in shapes.items()}

    def test_the_static_keys_are_first(self, mixed):
        model = mixed.build()
        assert model.attention_keys == {"static": 5, "dynamic": 3}
        assert mixed.build(fusion="static_only").attention_keys == {"static": 5}
        on_static = np.moveaxis(model.attention(mixed.values)["traits"][..., :5], -1, 1)
        padding = ~mixed.inputs["static_mask"]
        assert (on_static[padding] == 0).all()
        assert (on_static[~padding] > 0).all()

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
