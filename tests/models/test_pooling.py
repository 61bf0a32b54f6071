import numpy as np

from pipeline.models.pooling import MaskedMean
from tests.models.layer_checks import check_layer

STEPS = np.array([[[1.0, 10.0], [3.0, 30.0], [8.0, 80.0]]], dtype="float32")


def mean(mask):
    return np.asarray(MaskedMean()(STEPS, step_mask=None if mask is None else np.array([mask])))


def test_it_keeps_the_promises_of_a_layer(tmp_path):
    check_layer(
        MaskedMean,
        {},
        {"inputs": STEPS, "step_mask": np.ones((1, 3), dtype=bool)},
        output_shape=(1, 2),
        num_trainable=0,
        tmp_path=tmp_path,
    )


def test_without_a_mask_all_steps_count():
    np.testing.assert_allclose(mean(None), [[4.0, 40.0]])


def test_only_real_steps_count():
    np.testing.assert_allclose(mean([True, True, False]), [[2.0, 20.0]])


def test_a_clip_without_real_steps_is_all_zeros():
    np.testing.assert_array_equal(mean([False, False, False]), [[0.0, 0.0]])


def test_half_precision_holds_the_mean_of_thousands_of_steps():
    steps = np.full((1, 3000, 2), 30.0, np.float32)
    found = MaskedMean(dtype="mixed_float16")(steps, step_mask=np.ones((1, 3000), np.bool_))
    np.testing.assert_array_equal(np.asarray(found), np.full((1, 2), 30.0))
