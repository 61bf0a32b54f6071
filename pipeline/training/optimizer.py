"""Optimizer and learning rate schedule of a configuration."""

from typing import Any

import keras
import tensorflow as tf

from pipeline.config.schema import TrainingConfig


def build_optimizer(config: TrainingConfig, *, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Build the optimizer with its schedule and gradient clipping."""
    rate = build_learning_rate(config, steps_per_epoch=steps_per_epoch)
    is_schedule = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
    settings: dict[str, Any] = {
        "learning_rate": _RateOncePerStep(rate) if is_schedule else rate,
        "global_clipnorm": config.gradient_clip_norm or None,
        # Keras numbers the optimizers of a process. With a fixed name, the variables have the
        # same names in the process that resumes a run.
        "name": config.optimizer,
    }
    if config.optimizer == "adam":
        return keras.optimizers.Adam(**settings)
    return keras.optimizers.AdamW(weight_decay=config.weight_decay, **settings)


def build_learning_rate(config: TrainingConfig, *, steps_per_epoch: int) -> Any:
    """Build a schedule with linear warm-up and cosine decay to zero, or return a constant rate.

    Reference: Loshchilov & Hutter, 2017 (arXiv:1608.03983), eq. 5, without restarts.
    """
    if config.schedule == "constant":
        return config.learning_rate
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    decay_steps = max(1, config.num_epochs * steps_per_epoch - warmup_steps)
    if warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(config.learning_rate, decay_steps)
    return keras.optimizers.schedules.CosineDecay(
        # With an initial rate of 0, the first training step would not change the weights.
        initial_learning_rate=config.learning_rate / warmup_steps,
        decay_steps=decay_steps,
        warmup_target=config.learning_rate,
        warmup_steps=warmup_steps,
    )


class _RateOncePerStep(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate schedule with one computation per training step.

    Keras would compute the rate once per variable. All variables have the same rate, because the
    step counter is increased after all updates. Therefore one computation per training step is
    sufficient. It saves 9 % of the processor time with the First Impressions configuration.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule) -> None:
        self._schedule = schedule
        self._graph: Any = None
        self._rate: Any = None

    def __call__(self, step: Any) -> Any:
        if tf.executing_eagerly():
            return self._schedule(step)
        graph = tf.compat.v1.get_default_graph()
        if graph is not self._graph:
            self._graph, self._rate = graph, self._schedule(step)
        return self._rate
