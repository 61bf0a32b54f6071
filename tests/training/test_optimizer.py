import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config.schema import TrainingConfig
from pipeline.training.optimizer import build_learning_rate, build_optimizer, join_moments


def rates(num_steps: int, *, steps_per_epoch: int = 10, **settings) -> list[float]:
    schedule = build_learning_rate(TrainingConfig(**settings), steps_per_epoch=steps_per_epoch)
    return [float(schedule(step)) for step in range(num_steps)]


class TestWarmupCosine:
    @pytest.mark.parametrize(
        ("num_epochs", "warmup_epochs", "learning_rate", "expected"),
        [
            # From 1/10 of the maximum, which follows the last warm-up step.
            (5, 1.0, 0.5, [0.05 + step * 0.045 for step in range(11)]),
            (5, 0.5, 1.0, [0.2, 0.36, 0.52, 0.68, 0.84, 1.0]),
            (1, 1.0, 1.0, [0.1 + 0.09 * step for step in range(10)]),
            (5, 0.0, 0.5, [0.5]),
        ],
    )
    def test_the_warm_up_is_linear(self, num_epochs, warmup_epochs, learning_rate, expected):
        found = rates(
            len(expected),
            num_epochs=num_epochs,
            warmup_epochs=warmup_epochs,
            learning_rate=learning_rate,
        )
        assert found == pytest.approx(expected, rel=1e-5)

    def test_the_decay_is_a_cosine_to_zero(self):
        run = rates(51, num_epochs=5, learning_rate=1.0)
        assert run[20] == pytest.approx((1 + math.cos(math.pi / 4)) / 2, rel=1e-5)
        assert run[30] == pytest.approx(0.5, rel=1e-5)
        assert run[49] > 0
        assert run[50] == pytest.approx(0.0, abs=1e-8)
        assert run[10:] == sorted(run[10:], reverse=True)
        assert max(run) == run[10]


class TestOptimizer:
    def test_the_name_does_not_depend_on_earlier_optimizers(self):
        names = {build_optimizer(TrainingConfig(), steps_per_epoch=1).name for _ in range(3)}
        assert names == {"adamw"}


def after_steps(optimizer, num_steps: int, *, gradient=(0.1, -0.2), eagerly: bool = False):
    """Return three variables after some steps, shape (3, 2)."""
    variables = [keras.Variable([1.0, 2.0], name=f"v{place}") for place in range(3)]
    optimizer.build(variables)

    def step():
        optimizer.apply([tf.constant(gradient) * (place + 1) for place in range(3)])

    step = step if eagerly else tf.function(step)
    for _ in range(num_steps):
        step()
    return np.array([each.numpy() for each in variables])


class TestUpdates:
    @pytest.mark.parametrize("eagerly", [False, True])
    @pytest.mark.parametrize("schedule", ["constant", "warmup_cosine"])
    @pytest.mark.parametrize("name", ["adam", "adamw"])
    def test_the_updates_equal_the_updates_of_keras(self, name, schedule, eagerly):
        config = TrainingConfig(num_epochs=2, weight_decay=0.05, optimizer=name, schedule=schedule)
        ours, theirs = build_optimizer(config, steps_per_epoch=10), of_keras(config)
        after, expected = (after_steps(each, 15, eagerly=eagerly) for each in (ours, theirs))
        np.testing.assert_array_equal(after, expected)

    @pytest.mark.parametrize("clip_norm", [0.0, 0.5])
    def test_large_gradients_are_clipped_as_in_keras(self, clip_norm):
        config = TrainingConfig(num_epochs=2, gradient_clip_norm=clip_norm)
        ours, theirs = build_optimizer(config, steps_per_epoch=10), of_keras(config)
        after, expected = (after_steps(each, 15, gradient=(30.0, -1.0)) for each in (ours, theirs))
        np.testing.assert_allclose(after, expected, rtol=1e-6)

    def test_an_infinite_gradient_gives_nan(self):
        optimizer = build_optimizer(TrainingConfig(), steps_per_epoch=10)
        assert np.isnan(after_steps(optimizer, 1, gradient=(math.inf, 1.0))).all()

    def test_a_variable_without_a_gradient_does_not_change(self):
        optimizer = build_optimizer(TrainingConfig(weight_decay=0.5), steps_per_epoch=10)
        used, unused = keras.Variable([1.0]), keras.Variable([[2.0, 3.0]])
        optimizer.build([used, unused])
        with pytest.warns(UserWarning, match="Gradients do not exist"):
            optimizer.apply([tf.constant([0.1]), None])
        assert float(used.numpy()[0]) < 1.0
        np.testing.assert_array_equal(unused.numpy(), [[2.0, 3.0]])

    def test_settings_of_another_training_replace_the_earlier_settings(self):
        before = TrainingConfig(num_epochs=2, weight_decay=0.05, learning_rate=0.5)
        now = TrainingConfig(
            num_epochs=3, weight_decay=0.2, gradient_clip_norm=0.25, warmup_epochs=0.0
        )
        reused = build_optimizer(before, steps_per_epoch=10)
        reused.configure(now, steps_per_epoch=7)
        fresh = build_optimizer(now, steps_per_epoch=7)
        after, expected = (after_steps(each, 15, gradient=(3.0, -2.0)) for each in (reused, fresh))
        np.testing.assert_array_equal(after, expected)


def of_keras(config: TrainingConfig):
    settings = {"global_clipnorm": config.gradient_clip_norm or None}
    rate = config.learning_rate
    if config.schedule == "warmup_cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            rate / 10, 10 * (config.num_epochs - 1), warmup_target=rate, warmup_steps=10
        )
    if config.optimizer == "adam":
        return keras.optimizers.Adam(rate, **settings)
    return keras.optimizers.AdamW(rate, weight_decay=config.weight_decay, **settings)


class TestEarlierCheckpoints:
    def test_the_moments_of_the_variables_are_joined_in_order(self):
        earlier = {
            "0000:adam/iteration": np.array(4),
            "0001:adam/kernel_momentum": np.array([[1.0, 2.0]]),
            "0002:adam/kernel_velocity": np.array([[5.0, 6.0]]),
            "0003:adam/bias_momentum": np.array([3.0]),
            "0004:adam/bias_velocity": np.array([7.0]),
        }
        joined = join_moments(earlier)
        assert list(joined) == ["0000:adam/iteration", "0001:adam/momentum", "0002:adam/velocity"]
        assert [each.tolist() for each in joined.values()] == [4, [1, 2, 3], [5, 6, 7]]

    def test_newer_arrays_do_not_change(self):
        arrays = {"0000:adam/momentum": np.ones(3)}
        assert join_moments(arrays) == arrays
