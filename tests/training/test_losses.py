import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pipeline.metrics.regression import exact_metrics
from pipeline.training.losses import ConcordanceLoss, build_loss

TRUE = np.float32([[0.5, 0.5], [0.7, 0.3]])
PRED = np.float32([[0.55, 0.5], [0.4, 0.3]])  # errors 0.05, 0, 0.3, 0


def value(loss, true=TRUE, pred=PRED) -> float:
    return float(loss(true, pred))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mae", (0.05 + 0.3) / 4),
        ("mse", (0.05**2 + 0.3**2) / 4),
        # Quadratic below the delta of 0.1, linear above: 0.1 * (0.3 - 0.05).
        ("huber", (0.5 * 0.05**2 + 0.1 * 0.25) / 4),
    ],
)
def test_a_loss_is_a_mean_over_clips_and_traits(name, expected):
    assert value(build_loss({name: 1.0}, huber_delta=0.1)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weight", [1.0, 2.0])
def test_the_huber_delta_is_used(weight):
    # With a delta of 0.5, both errors are quadratic.
    loss = build_loss({"huber": weight}, huber_delta=0.5)
    assert value(loss) == pytest.approx(weight * 0.5 * (0.05**2 + 0.3**2) / 4, rel=1e-5)


class TestConcordance:
    def test_the_loss_equals_the_value_computed_by_hand(self):
        # Deviations -1/3, 0, 1/3 and -1/6, -1/6, 1/3; means 1/3 and 1/2. In units of 1/108:
        # 2 * covariance = 12, variances 8 and 6, offset squared 3, so that CCC = 12/17.
        true, pred = np.float32([[0], [1 / 3], [2 / 3]]), np.float32([[1 / 3], [1 / 3], [5 / 6]])
        assert value(ConcordanceLoss(), true, pred) == pytest.approx(5 / 17, abs=1e-4)

    @given(st.integers(0, 2**32))
    def test_the_loss_is_one_minus_the_metric(self, seed):
        true, pred = np.random.default_rng(seed).uniform(size=(2, 6, 5)).astype(np.float32)
        expected = 1 - exact_metrics(true, pred)["ccc"].mean()
        assert value(ConcordanceLoss(epsilon=0.0), true, pred) == pytest.approx(expected, abs=1e-4)

    def test_the_loss_of_constant_scores_is_1(self):
        constant = np.full((3, 5), 0.5, np.float32)
        assert value(ConcordanceLoss(), constant, constant) == 1.0

    @pytest.mark.parametrize("num_clips", [1, 2])
    def test_a_tiny_batch_has_a_finite_gradient(self, num_clips):
        pred = tf.Variable(np.full((num_clips, 5), 0.4, np.float32))
        with tf.GradientTape() as tape:
            loss = ConcordanceLoss()(np.full((num_clips, 5), 0.5, np.float32), pred)
        assert np.isfinite(tape.gradient(loss, pred).numpy()).all()


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"mae": 2.0, "mse": 0.5}, 2.0 * (0.35 / 4) + 0.5 * (0.0925 / 4)),
        ({"mae": 3.0}, 3 * 0.35 / 4),
    ],
)
def test_a_mix_is_the_weighted_sum(weights, expected):
    assert value(build_loss(weights, huber_delta=0.1)) == pytest.approx(expected, rel=1e-5)


def test_new_weights_replace_the_earlier_weights():
    loss = build_loss({"huber": 1.0, "mae": 1.0}, huber_delta=0.1)
    loss.configure({"huber": 0.0, "mae": 3.0}, huber_delta=0.5)
    assert value(loss) == pytest.approx(3 * 0.35 / 4, rel=1e-5)
    loss.configure({"huber": 2.0, "mae": 0.0}, huber_delta=0.5)
    assert value(loss) == pytest.approx(2 * 0.5 * (0.05**2 + 0.3**2) / 4, rel=1e-5)
