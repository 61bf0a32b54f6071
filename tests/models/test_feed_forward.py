import keras
import numpy as np

from pipeline.models.feed_forward import FeedForward
from tests.models.layer_checks import check_layer

INPUTS = np.array([[[1.0, -2.0, 0.5]], [[0.0, 4.0, -1.0]]], dtype="float32")


def test_it_keeps_the_promises_of_a_layer(tmp_path):
    check_layer(
        FeedForward,
        {"factor": 2, "dropout_rate": 0.1},
        {"inputs": INPUTS},
        output_shape=(2, 1, 3),
        num_trainable=6,
        tmp_path=tmp_path,
    )


def test_it_adds_to_its_input():
    layer = FeedForward(2, dropout_rate=0.0)
    layer.build(INPUTS.shape)
    layer.contract.kernel.assign(keras.ops.zeros_like(layer.contract.kernel))
    np.testing.assert_array_equal(layer(INPUTS), INPUTS)


def test_what_it_adds_does_not_depend_on_the_scale_of_its_input():
    layer = FeedForward(2, dropout_rate=0.0)
    added = np.asarray(layer(INPUTS)) - INPUTS
    added_too = np.asarray(layer(100 * INPUTS)) - 100 * INPUTS
    np.testing.assert_allclose(added, added_too, atol=1e-2)
