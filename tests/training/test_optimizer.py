import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config.schema import TrainingConfig
from pipeline.training.optimizer import build_learning_rate, build_optimizer


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
    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({}, {"weight_decay": 0.01, "global_clipnorm": 1.0}),
            ({"optimizer": "adam"}, {"weight_decay": None}),
            ({"gradient_clip_norm": 2.5}, {"global_clipnorm": 2.5, "clipnorm": None}),
            ({"gradient_clip_norm": 0.0}, {"global_clipnorm": None}),
        ],
    )
    def test_the_settings_of_the_configuration_are_used(self, settings, expected):
        optimizer = build_optimizer(TrainingConfig(**settings), steps_per_epoch=1)
        assert {name: getattr(optimizer, name) for name in expected} == expected

    def test_the_name_does_not_depend_on_earlier_optimizers(self):
        names = {build_optimizer(TrainingConfig(), steps_per_epoch=1).name for _ in range(3)}
        assert names == {"adamw"}


class TestOncePerStep:
    @staticmethod
    def steps(optimizer, num_steps: int):
        """Return the variables after some steps, and the graph of one step."""
        variables = [keras.Variable([1.0, 2.0], name=f"v{place}") for place in range(3)]
        optimizer.build(variables)

        @tf.function
        def step():
            optimizer.apply([tf.constant([0.1, -0.2])] * 3)

        for _ in range(num_steps):
            step()
        return np.array([each.numpy() for each in variables]), step.get_concrete_function().graph

    def test_the_graph_of_a_step_has_the_schedule_once(self):
        _, graph = self.steps(build_optimizer(TrainingConfig(), steps_per_epoch=10), 1)
        branches = [op for op in graph.get_operations() if op.type in ("If", "StatelessIf")]
        assert len(branches) == 1

    @pytest.mark.parametrize("eagerly", [False, True])
    @pytest.mark.parametrize("name", ["adam", "adamw"])
    def test_the_updates_equal_the_updates_of_keras(self, name, eagerly):
        config = TrainingConfig(num_epochs=2, weight_decay=0.05, optimizer=name)
        decay = {"weight_decay": 0.05} if name == "adamw" else {}
        theirs = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[name](
            build_learning_rate(config, steps_per_epoch=10), global_clipnorm=1.0, **decay
        )
        ours = build_optimizer(config, steps_per_epoch=10)
        tf.config.run_functions_eagerly(eagerly)
        try:
            (after, _), (expected, _) = self.steps(ours, 15), self.steps(theirs, 15)
        finally:
            tf.config.run_functions_eagerly(False)
        np.testing.assert_array_equal(after, expected)
