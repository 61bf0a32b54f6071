import numpy as np

from pipeline.models.architecture import StreamSpec
from pipeline.models.streams import build_input


def test_a_vector_enters_through_one_input():
    stream = build_input("static", StreamSpec(width=6))
    assert stream.features.shape == (None, 6)
    assert stream.mask is None
    assert not stream.in_steps


def test_a_masked_sequence_enters_through_two():
    stream = build_input("dynamic", StreamSpec(width=6, num_steps=4, masked=True))
    assert (stream.features.name, stream.features.shape) == ("dynamic", (None, 4, 6))
    assert (stream.mask.name, stream.mask.shape, stream.mask.dtype) == (
        "dynamic_mask",
        (None, 4),
        "bool",
    )
    assert stream.in_steps


def test_features_are_standardized_in_float32_whatever_the_precision_of_the_rest(vectors):
    import keras

    policy = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = vectors.build()
    finally:
        keras.mixed_precision.set_global_policy(policy)
    model.adapt(static_moments=(np.full(4, 1e4), np.ones(4)), dynamic_moments=(np.zeros(4),) * 2)
    layer = model.get_layer("static_standardize")
    np.testing.assert_array_equal(layer(np.full((1, 4), 10001.0, "float32")), np.ones((1, 4)))
    assert model(vectors.values).dtype == "float32"
