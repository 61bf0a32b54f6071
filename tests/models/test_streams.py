import keras
import numpy as np
import pytest

from pipeline.models.streams import (
    AbsentToken,
    MaskedMean,
    Positions,
    StreamDropout,
    VectorTokens,
    time_waves,
)
from tests.models.layer_checks import check_layer

VECTORS = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]], dtype="float32")
TOKENS = np.arange(24, dtype="float32").reshape(2, 3, 4)
STEPS = np.array([[[1.0, 10.0], [3.0, 30.0], [8.0, 80.0]]], dtype="float32")
STEP_MASK = np.ones((1, 3), dtype=bool)


@pytest.mark.parametrize(
    ("layer_class", "arguments", "inputs", "output_shape", "num_trainable"),
    [
        (VectorTokens, {"num_tokens": 5, "width": 4}, {"inputs": VECTORS}, (2, 5, 4), 1),
        (Positions, {"in_time": True}, {"inputs": TOKENS}, (2, 3, 4), 1),
        (Positions, {"in_time": False}, {"inputs": TOKENS}, (2, 3, 4), 1),
        (MaskedMean, {}, {"inputs": STEPS, "step_mask": STEP_MASK}, (1, 2), 0),
        (
            AbsentToken,
            {},
            {"tokens": TOKENS, "step_mask": np.zeros((2, 3), dtype=bool)},
            ((2, 3, 4), (2, 3)),
            1,
        ),
    ],
)
def test_layers_can_be_configured_trained_and_saved(
    layer_class, arguments, inputs, output_shape, num_trainable, tmp_path
):
    shapes_and_counts = {"output_shape": output_shape, "num_trainable": num_trainable}
    check_layer(layer_class, arguments, inputs, **shapes_and_counts, tmp_path=tmp_path)


def test_features_are_standardized_in_float32_in_any_precision(vectors):
    policy = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = vectors.build()
    finally:
        keras.mixed_precision.set_global_policy(policy)
    model.adapt({"static": (np.full(4, 1e4), np.ones(4)), "dynamic": (np.zeros(4),) * 2})
    layer = model.get_layer("static_standardize")
    np.testing.assert_array_equal(layer(np.full((1, 4), 10001.0, "float32")), np.ones((1, 4)))
    assert model(vectors.values).dtype == "float32"


def test_each_token_has_its_own_linear_map():
    layer = VectorTokens(2, 3)
    tokens = np.asarray(layer(VECTORS))
    (kernel,) = layer.get_weights()
    np.testing.assert_allclose(tokens[:, 0], VECTORS @ kernel[:, :3], rtol=1e-5)
    np.testing.assert_allclose(tokens[:, 1], VECTORS @ kernel[:, 3:], rtol=1e-5)


def test_positions_in_time_start_as_waves():
    tokens = np.asarray(Positions(in_time=True)(np.zeros((1, 6, 8), dtype="float32")))
    np.testing.assert_allclose(tokens[0], time_waves(6, 8), atol=1e-6)


def test_equal_times_have_equal_waves_for_any_number_of_steps():
    two, six = time_waves(2, 8), time_waves(6, 8)  # middles 1/4, 3/4; 1/12, 3/12, ..., 11/12
    np.testing.assert_allclose(two, six[[1, 4]], atol=1e-9)


def test_different_times_have_different_waves():
    waves = time_waves(16, 8)
    distances = np.linalg.norm(waves[:, None] - waves[None], axis=-1)
    assert distances[~np.eye(16, dtype=bool)].min() > 0.1


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (None, [[4.0, 40.0]]),
        ([[True, True, False]], [[2.0, 20.0]]),
        ([[False, False, False]], [[0.0, 0.0]]),
    ],
)
def test_the_mean_is_over_the_real_steps(mask, expected):
    mean = MaskedMean()(STEPS, step_mask=None if mask is None else np.array(mask))
    np.testing.assert_allclose(mean, expected)


def test_the_mean_of_thousands_of_steps_is_exact_in_half_precision():
    steps = np.full((1, 3000, 2), 30.0, np.float32)
    found = MaskedMean(dtype="mixed_float16")(steps, step_mask=np.ones((1, 3000), np.bool_))
    np.testing.assert_array_equal(np.asarray(found), np.full((1, 2), 30.0))


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ([[True, False, True], [False] * 3], [[True, False, True], [True, False, False]]),
        ([[True], [False]], [[True, True, True], [True, False, False]]),
    ],
)
def test_the_absent_token_is_the_only_valid_token_of_a_clip_without_the_stream(mask, expected):
    layer = AbsentToken()
    layer.build(TOKENS.shape, (2, 3))
    tokens, new_mask = layer(TOKENS, np.array(mask))
    np.testing.assert_array_equal(new_mask, expected)
    np.testing.assert_array_equal(tokens[0], TOKENS[0])
    np.testing.assert_array_equal(tokens[1, 0], layer.token)


class TestStreamDropout:
    MASKS = (
        np.tile([[True, True, False]], (4000, 1)),
        np.tile([[True]], (4000, 1)),
        np.tile([[True, False]], (4000, 1)),
    )

    def removed(self, layer, masks=MASKS):
        """Return which clips have lost which stream, shape (clips, streams)."""
        found = [np.asarray(mask) for mask in layer(list(masks), training=True)]
        for mask, given in zip(found, masks, strict=True):
            assert (mask == given * mask.any(axis=1, keepdims=True)).all()
        return ~np.stack([mask.any(axis=1) for mask in found], axis=1)

    def test_each_stream_is_removed_at_the_rate(self):
        keras.utils.set_random_seed(0)
        removed = self.removed(StreamDropout(0.2))
        # A clip would lose all three streams at the rate 0.2 ** 3, and then keeps one of three.
        np.testing.assert_allclose(removed.mean(axis=0), 0.2 - 0.2**3 / 3, atol=0.02)

    def test_a_clip_never_loses_all_its_streams(self):
        assert not self.removed(StreamDropout(0.99)).all(axis=1).any()

    def test_the_only_stream_of_a_clip_is_kept(self):
        absent = np.zeros_like(self.MASKS[0])
        removed = self.removed(StreamDropout(0.99), (absent, self.MASKS[1], absent))
        assert not removed[:, 1].any()

    def test_a_clip_without_streams_keeps_its_masks(self):
        absent = [np.zeros_like(mask) for mask in self.MASKS]
        assert self.removed(StreamDropout(0.5), absent).all()

    def test_nothing_is_removed_outside_training(self):
        for mask, given in zip(StreamDropout(0.9)(list(self.MASKS)), self.MASKS, strict=True):
            np.testing.assert_array_equal(mask, given)

    def test_the_random_numbers_continue_from_a_saved_state(self):
        layer, other = StreamDropout(0.5), StreamDropout(0.5)
        self.removed(layer)
        (state,) = layer.variables
        other.variables[0].assign(state)
        np.testing.assert_array_equal(self.removed(other), self.removed(layer))
