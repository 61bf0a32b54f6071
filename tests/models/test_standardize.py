import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.core.errors import ModelError
from pipeline.models import CompletePersonalityModel
from pipeline.models.standardize import Standardize, standardize_layers
from tests.models.layer_checks import check_layer


def adapted(mean, variance):
    layer = Standardize(name="static_standardize")
    layer.build((None, len(mean)))
    layer.set_moments(np.array(mean), np.array(variance))
    return layer


def test_the_layer_can_be_configured_and_saved(tmp_path):
    check_layer(
        Standardize,
        {},
        {
            "inputs": np.arange(24, dtype="float32").reshape(2, 4, 3),
            "step_mask": np.array([[True, True, True, False], [True, True, False, False]]),
        },
        output_shape=(2, 4, 3),
        num_trainable=0,
        num_frozen=2,
        tmp_path=tmp_path,
    )


@pytest.mark.parametrize(
    ("mean", "variance", "features", "expected"),
    [
        ([10.0, -1.0], [4.0, 0.25], [14.0, -2.0], [2.0, -2.0]),
        # Constant features give zero for any value.
        ([0.0, 7.0, 1e4], [0.0, 0.0, 1e-10], [1e6, -1e6, 2e4], [0.0, 0.0, 0.0]),
        # A small deviation is not constant.
        ([0.5], [0.0015**2], [0.503], [2.0]),
    ],
)
def test_standardized_values_equal_the_values_computed_by_hand(mean, variance, features, expected):
    outputs = adapted(mean, variance)(np.array([features], dtype="float32"))
    np.testing.assert_allclose(outputs, [expected], rtol=1e-4)


@given(
    arrays(np.float64, (2, 3), elements=st.floats(0, 1e12, allow_subnormal=True)),
    arrays(np.float32, (4, 3), elements=st.floats(-1e6, 1e6, width=32)),
)
def test_outputs_are_finite_for_any_moments(moments, features):
    assert np.isfinite(np.asarray(adapted(*moments)(features))).all()


@pytest.mark.parametrize("garbage", [1e30, -7.0, np.nan, np.inf])
def test_padding_is_replaced_by_zeros(garbage):
    features = np.array([[[2.0], [garbage]]], dtype="float32")
    outputs = Standardize()(features, step_mask=np.array([[True, False]]))
    np.testing.assert_array_equal(outputs, [[[2.0], [0.0]]])


def test_rows_far_from_the_training_rows_are_found():
    layer = adapted([10.0, 5.0], [4.0, 0.0])
    rows = np.array([[10, 5], [10 + 1.9e4, 5], [10 + 2.1e4, 5], [-3e4, 5], [10, 1e37], [1e37, 5]])
    found = layer.is_far(rows.astype(np.float32))
    # The second feature was constant, so the model ignores it.
    assert found.tolist() == [False, False, True, True, False, True]


def test_padding_is_never_far():
    layer = adapted([0.0], [1.0])
    steps = np.array([[[0.0], [1e37]], [[1e37], [0.0]]], np.float32)
    mask = np.array([[True, False], [True, False]])
    assert layer.is_far(steps).tolist() == [True, True]
    assert layer.is_far(steps, mask).tolist() == [False, True]


def test_a_vector_of_a_clip_without_the_stream_becomes_zero_and_is_never_far():
    layer = adapted([1.0, 2.0], [1.0, 1.0])
    vectors = np.array([[3.0, 2.0], [np.nan, 1e30], [1e9, 2.0]], np.float32)
    has_stream = np.array([[True], [False], [True]])
    np.testing.assert_array_equal(layer(vectors, step_mask=has_stream)[:2], [[2.0, 0.0], [0.0] * 2])
    assert layer.is_far(vectors, has_stream).tolist() == [False, False, True]


def test_the_layers_of_a_model_are_found_by_input_name():
    layers = standardize_layers(CompletePersonalityModel(3, 4, fusion_dim=8, num_heads=2))
    assert {name: layer.name for name, layer in layers.items()} == {
        "static": "static_standardize",
        "dynamic": "dynamic_standardize",
    }
    other = keras.Input((3,), name="static")
    assert standardize_layers(keras.Model(other, keras.layers.Dense(5)(other))) == {}


@pytest.mark.parametrize(
    ("mean", "variance", "message"),
    [
        ([0.0], [1.0, 1.0], r"static_standardize: mean has shape \(1,\), but must .* \(2,\)"),
        ([0.0, 0.0], [[1.0, 1.0]], r"variance has shape \(1, 2\)"),
        ([0.0, np.nan], [1.0, 1.0], "mean of feature 1 is nan"),
        ([0.0, 0.0], [np.inf, 1.0], "variance of feature 0 is inf"),
        ([0.0, 0.0], [1.0, -0.5], r"variance of feature 1 is -0\.5"),
    ],
)
def test_invalid_moments_are_an_error(mean, variance, message):
    layer = adapted([0.0, 0.0], [1.0, 1.0])
    with pytest.raises(ModelError, match=message):
        layer.set_moments(np.array(mean), np.array(variance))
