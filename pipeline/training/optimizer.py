"""The optimiser of a configuration and its learning rate over time."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from pipeline.config.schema import TrainingConfig


def build_optimizer(config: TrainingConfig, *, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Return the optimiser with its schedule and gradient clipping."""
    rate = build_learning_rate(config, steps_per_epoch=steps_per_epoch)
    is_schedule = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
    settings: dict[str, Any] = {
        "learning_rate": _RateOncePerStep(rate) if is_schedule else rate,
        "global_clipnorm": config.gradient_clip_norm or None,
        # A name of its own: Keras counts the optimisers of a process, and their variables
        # would be called otherwise in the process that resumes a run.
        "name": config.optimizer,
    }
    if config.optimizer == "adam":
        return _Adam(**settings)
    return _AdamW(weight_decay=config.weight_decay, **settings)


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


class _OncePerGraph:
    """Keeps what a step works out once for all variables.

    Keras asks for it once for every variable, and puts all of it into the graph each time.
    The steps of a training are calls of one graph, in which the count of steps is raised last:
    whoever asks before that means the same value.
    """

    def __init__(self) -> None:
        self._graph: Any = None
        self._values: dict[str, Any] = {}

    def get(self, work_out: Callable[[], Any], key: str = "") -> Any:
        """Return what was worked out for a key in this graph; without a graph, work it out."""
        if tf.executing_eagerly():
            return work_out()
        graph = tf.compat.v1.get_default_graph()
        if graph is not self._graph:
            self._graph, self._values = graph, {}
        if key not in self._values:
            self._values[key] = work_out()
        return self._values[key]


class _RateOncePerStep(keras.optimizers.schedules.LearningRateSchedule):
    """Works a schedule out once a step: else it is a third of the tracing of a training step.

    Args:
        schedule: What to work out.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule) -> None:
        self._schedule = schedule
        self._rate = _OncePerGraph()

    def __call__(self, step: Any) -> Any:
        return self._rate.get(lambda: self._schedule(step))


class _Adam(keras.optimizers.Adam):
    """Adam as Keras has it, to the bit, whose bias is corrected once a step.

    Reference: Kingma & Ba, 2015 (arXiv:1412.6980), algorithm 1 in the order of section 2.
    """

    def build(self, variables: Any) -> None:
        super().build(variables)
        self._corrected_rate = _OncePerGraph()

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable and its moments."""
        index = self._get_variable_index(variable)
        mean, square = self._momentums[index], self._velocities[index]
        dtype = variable.dtype
        rate = self._corrected_rate.get(lambda: self._correct(learning_rate, dtype), dtype)
        self.assign_add(mean, (gradient - mean) * (1 - self.beta_1))
        self.assign_add(square, (keras.ops.square(gradient) - square) * (1 - self.beta_2))
        self.assign_sub(variable, mean * rate / (keras.ops.sqrt(square) + self.epsilon))

    def _correct(self, learning_rate: Any, dtype: str) -> Any:
        step = keras.ops.cast(self.iterations + 1, dtype)
        of_mean, of_square = (
            1 - keras.ops.power(keras.ops.cast(beta, dtype), step)
            for beta in (self.beta_1, self.beta_2)
        )
        return keras.ops.cast(learning_rate, dtype) * keras.ops.sqrt(of_square) / of_mean


class _AdamW(_Adam, keras.optimizers.AdamW):
    """The same, with decoupled weight decay."""
