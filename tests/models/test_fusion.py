from typing import get_args

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config.schema import Fusion
from pipeline.models import FUSIONS
from pipeline.models.fusion import GatedUnit
from tests.models.layer_checks import check_layer

FIRST = np.array([[1.0, -2.0], [0.5, 0.25]], dtype="float32")
SECOND = np.array([[-1.0, 3.0], [2.0, 0.0]], dtype="float32")


def test_configurations_allow_every_fusion():
    assert set(FUSIONS) == set(get_args(Fusion))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_can_be_adapted_and_gives_five_scores(fusion, vectors):
    model = vectors.build(fusion=fusion)
    model.adapt(dict.fromkeys(("static", "dynamic"), (np.zeros(4), np.ones(4))))
    scores = np.asarray(model(vectors.values))
    assert scores.shape == (12, 5)
    assert scores.dtype == np.float32
    assert ((scores > 0) & (scores < 1)).all()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_trainable_weight_has_a_gradient(fusion, mixed, labels):
    model = mixed.build(fusion=fusion, dropout_rate=0.3)
    with tf.GradientTape() as tape:
        loss = keras.ops.mean((model(mixed.values, training=True) - labels) ** 2)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    idle = [
        weight.path
        for weight, gradient in zip(model.trainable_weights, gradients, strict=True)
        if gradient is None or not np.any(np.abs(gradient) > 1e-9)
    ]
    assert idle == []


@pytest.mark.parametrize(
    ("fusion", "ignored"), [("static_only", "dynamic"), ("dynamic_only", "static")]
)
def test_a_single_stream_ignores_the_other_stream(fusion, ignored, sequences):
    model = sequences.build(fusion=fusion)
    others = {**sequences.inputs, ignored: 100 * sequences.inputs[ignored]}
    others[f"{ignored}_mask"] = ~sequences.inputs[f"{ignored}_mask"]
    np.testing.assert_array_equal(model(sequences.values), model(list(others.values())))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_values_of_padding_change_no_prediction(fusion, sequences):
    model = sequences.build(fusion=fusion)
    expected = np.asarray(model(sequences.values))
    for stream in ("static", "dynamic"):
        sequences.inputs[stream][~sequences.inputs[f"{stream}_mask"]] = 1e30
    np.testing.assert_array_equal(model(sequences.values), expected)


@pytest.mark.parametrize("fusion", ["cross_attention", "late", "static_only"])
def test_the_order_of_the_steps_matters(fusion, sequences):
    model = sequences.build(fusion=fusion, static_masked=False, dynamic_masked=False)
    static, dynamic = sequences.inputs["static"], sequences.inputs["dynamic"]
    assert not np.allclose(model([static, dynamic]), model([static[:, ::-1], dynamic]), atol=1e-5)


@pytest.mark.parametrize("fusion", ["cross_attention", "static_only"])
def test_the_linear_skip_is_zero_at_first_and_changes_nothing_else(fusion, vectors):
    keras.utils.set_random_seed(0)
    with_skip = vectors.build(fusion=fusion)
    keras.utils.set_random_seed(0)
    without = vectors.build(fusion=fusion, linear_skip=False)
    np.testing.assert_array_equal(with_skip(vectors.values), without(vectors.values))
    assert len(with_skip.weights) == len(without.weights) + 1


@pytest.mark.parametrize(("num_streams", "num_trainable"), [(1, 2), (2, 6), (4, 10)])
def test_the_gated_unit_can_be_configured_trained_and_saved(num_streams, num_trainable, tmp_path):
    check_layer(
        GatedUnit,
        {},
        {"inputs": [FIRST, SECOND, -FIRST, FIRST + 1][:num_streams]},
        output_shape=(2, 2),
        num_trainable=num_trainable,
        tmp_path=tmp_path,
    )


@pytest.mark.parametrize(
    ("gate_bias", "expected"),
    [
        (50.0, np.tanh(FIRST)),
        (-50.0, np.tanh(SECOND)),
        (0.0, (np.tanh(FIRST) + np.tanh(SECOND)) / 2),
    ],
)
def test_the_gate_mixes_the_streams(gate_bias, expected):
    unit = GatedUnit()
    unit([FIRST, SECOND])
    identity, zeros = np.eye(2), np.zeros(2)
    unit.first_map.set_weights([identity, zeros])
    unit.second_map.set_weights([identity, zeros])
    unit.gate.set_weights([np.zeros((4, 2)), np.full(2, gate_bias)])
    np.testing.assert_allclose(unit([FIRST, SECOND]), expected, atol=1e-6)


def test_the_gates_of_three_streams_are_a_softmax():
    unit, third = GatedUnit(), FIRST + SECOND
    streams = [FIRST, SECOND, third]
    unit(streams)
    for name in ("first", "second", "stream_3"):
        getattr(unit, f"{name}_map").set_weights([np.eye(2), np.zeros(2)])
    # Logits of the two features: (log 2, 0) in the first stream, (0, 0) in the others.
    unit.gate.set_weights([np.zeros((6, 4)), np.array([np.log(2), 0.0, 0.0, 0.0])])
    shares = np.array([[1 / 2, 1 / 3], [1 / 4, 1 / 3], [1 / 4, 1 / 3]])
    expected = sum(share * np.tanh(stream) for share, stream in zip(shares, streams, strict=True))
    np.testing.assert_allclose(unit(streams), expected, atol=1e-6)
