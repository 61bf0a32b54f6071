import numpy as np

from pipeline.models.tokens import Positions, VectorTokens, time_waves
from tests.models.layer_checks import check_layer

VECTORS = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]], dtype="float32")
TOKENS = np.arange(24, dtype="float32").reshape(2, 3, 4)


def test_vector_tokens_keep_the_promises_of_a_layer(tmp_path):
    check_layer(
        VectorTokens,
        {"num_tokens": 5, "width": 4},
        {"inputs": VECTORS},
        output_shape=(2, 5, 4),
        num_trainable=1,
        tmp_path=tmp_path,
    )


def test_positions_keep_the_promises_of_a_layer(tmp_path):
    for in_time in (True, False):
        check_layer(
            Positions,
            {"in_time": in_time},
            {"inputs": TOKENS},
            output_shape=(2, 3, 4),
            num_trainable=1,
            tmp_path=tmp_path,
        )


def test_each_token_is_a_linear_map_of_its_own():
    layer = VectorTokens(2, 3)
    tokens = np.asarray(layer(VECTORS))
    (kernel,) = layer.get_weights()
    np.testing.assert_allclose(tokens[:, 0], VECTORS @ kernel[:, :3], rtol=1e-5)
    np.testing.assert_allclose(tokens[:, 1], VECTORS @ kernel[:, 3:], rtol=1e-5)


def test_steps_in_time_start_as_waves():
    tokens = np.asarray(Positions(in_time=True)(np.zeros((1, 6, 8), dtype="float32")))
    np.testing.assert_allclose(tokens[0], time_waves(6, 8), atol=1e-6)


def test_the_same_moment_looks_alike_in_streams_of_any_number_of_steps():
    two, six = time_waves(2, 8), time_waves(6, 8)  # middles 1/4, 3/4; 1/12, 3/12, ..., 11/12
    np.testing.assert_allclose(two, six[[1, 4]], atol=1e-9)


def test_no_two_moments_look_alike():
    waves = time_waves(16, 8)
    distances = np.linalg.norm(waves[:, None] - waves[None], axis=-1)
    assert distances[~np.eye(16, dtype=bool)].min() > 0.1


def test_waves_fit_an_odd_width():
    assert time_waves(4, 7).shape == (4, 7)
