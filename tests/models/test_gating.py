import numpy as np
import pytest

from pipeline.models.gating import GatedUnit
from tests.models.layer_checks import check_layer

FIRST = np.array([[1.0, -2.0], [0.5, 0.25]], dtype="float32")
SECOND = np.array([[-1.0, 3.0], [2.0, 0.0]], dtype="float32")


def test_it_keeps_the_promises_of_a_layer(tmp_path):
    check_layer(
        GatedUnit,
        {},
        {"first": FIRST, "second": SECOND},
        output_shape=(2, 2),
        num_trainable=6,
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
def test_the_gate_chooses_between_the_streams(gate_bias, expected):
    unit = GatedUnit()
    unit(FIRST, SECOND)
    identity, zeros = np.eye(2), np.zeros(2)
    unit.first_map.set_weights([identity, zeros])
    unit.second_map.set_weights([identity, zeros])
    unit.gate.set_weights([np.zeros((4, 2)), np.full(2, gate_bias)])
    np.testing.assert_allclose(unit(FIRST, SECOND), expected, atol=1e-6)
