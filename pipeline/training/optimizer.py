"""The optimiser of a configuration and its learning rate over time."""

from typing import Any

import keras
import tensorflow as tf

from pipeline.config.schema import TrainingConfig


def build_optimizer(config: TrainingConfig, *, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Return the optimiser with its schedule and gradient clipping."""
    rate = build_learning_rate(config, steps_per_epoch=steps_per_epoch)
    is_schedule = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
    settings: dict[str, Any] = {
        "learning_rate": _OncePerStep(rate) if is_schedule else rate,
        "global_clipnorm": config.gradient_clip_norm or None,
        # A name of its own: Keras counts the optimisers of a process, and their variables
        # would be called otherwise in the process that resumes a run.
        "name": config.optimizer,
    }
    if config.optimizer == "adam":
        return keras.optimizers.Adam(**settings)
    return keras.optimizers.AdamW(weight_decay=config.weight_decay, **settings)


def build_learning_rate(config: TrainingConfig, *, steps_per_epoch: int) -> Any:
    """Return a number, or a schedule: linear warm-up, then cosine decay to zero.

    Reference: Loshchilov & Hutter, 2017 (arXiv:1608.03983), eq. 5, without restarts.
    """
    if config.schedule == "constant":
        return config.learning_rate
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    decay_steps = max(1, config.num_epochs * steps_per_epoch - warmup_steps)
    if warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(config.learning_rate, decay_steps)
    return keras.optimizers.schedules.CosineDecay(
        # The first step moves too: a warm-up from exactly 0 would waste it.
        initial_learning_rate=config.learning_rate / warmup_steps,
        decay_steps=decay_steps,
        warmup_target=config.learning_rate,
        warmup_steps=warmup_steps,
    )


class _OncePerStep(keras.optimizers.schedules.LearningRateSchedule):
    """Works a schedule out once a step.

    Keras asks for the learning rate once for every variable, and puts the whole schedule into
    the graph each time: that takes a third of the tracing of a training step.

    Args:
        schedule: What to work out.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule) -> None:
        self._schedule = schedule
        self._graph: Any = None
        self._rate: Any = None

    def __call__(self, step: Any) -> Any:
        if tf.executing_eagerly():
            return self._schedule(step)
        # The steps of a training are calls of one graph, in which the count of steps is raised
        # last: whoever asks before that means the same rate.
        graph = tf.compat.v1.get_default_graph()
        if graph is not self._graph:
            self._graph, self._rate = graph, self._schedule(step)
        return self._rate
