"""Optimizer and learning rate schedule of a configuration.

The settings that change between the trials of a search are variables. Therefore trainings with
different settings can use the same traced function.

Legend: P trainable weights of a model.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.config.schema import TrainingConfig
from pipeline.core.arrays import FloatArray

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7
"""Constants of Adam, the defaults of Keras."""
_MOMENTS = ("momentum", "velocity")


class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then cosine decay to zero. The settings are variables.

    Reference: Loshchilov & Hutter, 2017 (arXiv:1608.03983), eq. 5, without restarts.
    """

    def __init__(self) -> None:
        self._peak, self._warmup_steps, self._decay_steps = (
            tf.Variable(1.0, trainable=False) for _ in range(3)
        )
        # With an initial rate of 0, the first training step would not change the weights.
        self._first = tf.Variable(1.0, trainable=False)

    def configure(self, config: TrainingConfig, *, steps_per_epoch: int) -> None:
        """Store the settings of a training."""
        warmup_steps = round(config.warmup_epochs * steps_per_epoch)
        self._peak.assign(config.learning_rate)
        self._first.assign(config.learning_rate / max(1, warmup_steps))
        self._warmup_steps.assign(warmup_steps)
        self._decay_steps.assign(max(1, config.num_epochs * steps_per_epoch - warmup_steps))

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a training step, counted from 0."""
        step = tf.cast(step, tf.float32)
        done = step / tf.maximum(self._warmup_steps, 1.0)
        warmup = (self._peak - self._first) * done + self._first
        decay = tf.minimum(step - self._warmup_steps, self._decay_steps) / self._decay_steps
        cosine = self._peak * (0.5 * (1.0 + tf.cos(math.pi * decay)))
        return tf.where(step < self._warmup_steps, warmup, cosine)


class FlatAdam(keras.optimizers.Optimizer):
    """Adam, or AdamW, with one vector for the moments of all weights.

    The updates equal those of `keras.optimizers.Adam` and `AdamW`. Keras creates about 40 graph
    operations per variable, and this class about 6. In small models, most of the time of a training
    step is the start of operations.

    Args:
        learning_rate: Initial learning rate, or a schedule.
        weight_decay: Decoupled weight decay of AdamW; None for Adam.
        clip_norm: Maximum of the global gradient norm; 0 for no clipping.
        name: Prefix of the variable names.

    Reference: Kingma & Ba, 2015 (arXiv:1412.6980), algorithm 1, with the efficient order of section
        2; Loshchilov & Hutter, 2019 (arXiv:1711.05101), algorithm 2.
    """

    rate: Any
    """Learning rate of the newest update, a tensor."""

    def __init__(
        self, *, learning_rate: Any, weight_decay: float | None, clip_norm: float, name: str
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name)
        self._decays, self._clips = weight_decay is not None, clip_norm > 0
        self._decay = tf.Variable(weight_decay or 0.0, trainable=False)
        self._max_norm = tf.Variable(clip_norm, trainable=False)

    def build(self, variables: Sequence[Any]) -> None:
        """Create the two moment vectors, shape (P,)."""
        if self.built:
            return
        super().build(variables)
        self._shapes = [tuple(variable.shape) for variable in variables]
        self._sizes = [math.prod(shape) for shape in self._shapes]
        self._momentum, self._velocity = (
            self.add_variable(
                shape=(sum(self._sizes),), dtype="float32", initializer="zeros", name=name
            )
            for name in _MOMENTS
        )

    def configure(self, config: TrainingConfig, *, steps_per_epoch: int) -> None:
        """Store the settings of another training.

        The kinds of optimizer and schedule, and whether the gradient is clipped, must be the same.
        """
        self._decay.assign(config.weight_decay)
        self._max_norm.assign(config.gradient_clip_norm)
        if isinstance(self._learning_rate, WarmupCosine):
            self._learning_rate.configure(config, steps_per_epoch=steps_per_epoch)
        else:
            self.learning_rate = config.learning_rate

    def _backend_apply_gradients(
        self, grads: Sequence[Any], trainable_variables: Sequence[Any]
    ) -> None:
        """Update the variables that have a gradient."""
        given = {
            self._get_variable_index(variable): (gradient, variable)
            for gradient, variable in zip(grads, trainable_variables, strict=True)
        }
        gradient, weights = (
            tf.concat(
                [
                    tf.reshape(tf.cast(given[place][part], tf.float32), (-1,))
                    if place in given
                    else tf.zeros(size)
                    for place, size in enumerate(self._sizes)
                ],
                axis=0,
            )
            for part in (0, 1)
        )
        updated = tf.split(self._update(gradient, weights), self._sizes)
        for place, (_, variable) in given.items():
            variable.assign(tf.reshape(updated[place], self._shapes[place]))

    def _update(self, gradient: Any, weights: Any) -> Any:
        """Return the updated weights, shape (P,). The order of the operations is that of Keras."""
        self.rate = rate = tf.cast(self._get_current_learning_rate(), tf.float32)
        if self._clips:
            norm = tf.sqrt(tf.reduce_sum(tf.square(gradient)))
            scale = self._max_norm * tf.minimum(1.0 / norm, 1.0 / self._max_norm)
            gradient *= scale + (norm - norm)  # NaN if the norm is infinite
        if self._decays:
            weights -= weights * self._decay * rate
        step = tf.cast(self.iterations + 1, tf.float32)
        momentum, velocity = self._momentum.value, self._velocity.value
        momentum = momentum.assign_add((gradient - momentum) * (1 - _BETA_1), read_value=True)
        velocity = velocity.assign_add(
            (tf.square(gradient) - velocity) * (1 - _BETA_2), read_value=True
        )
        alpha = rate * tf.sqrt(1 - _BETA_2**step) / (1 - _BETA_1**step)
        return weights - momentum * alpha / (tf.sqrt(velocity) + _EPSILON)


def join_moments(arrays: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Convert the optimizer variables of a checkpoint to those of `FlatAdam`.

    Earlier versions stored two moments per variable of the model. Newer arrays do not change.
    """
    endings = tuple(f"_{name}" for name in _MOMENTS)
    moments = {
        name: [array.ravel() for key, array in arrays.items() if key.endswith(f"_{name}")]
        for name in _MOMENTS
    }
    if not any(moments.values()):
        return dict(arrays)
    others = {key: each for key, each in arrays.items() if not key.endswith(endings)}
    prefix = next(iter(arrays)).partition(":")[2].rpartition("/")[0]
    for number, (name, parts) in enumerate(moments.items(), start=len(others)):
        others[f"{number:04d}:{prefix}/{name}"] = np.concatenate(parts)
    return others


def build_optimizer(config: TrainingConfig, *, steps_per_epoch: int) -> FlatAdam:
    """Build the optimizer with its schedule and gradient clipping."""
    return FlatAdam(
        learning_rate=build_learning_rate(config, steps_per_epoch=steps_per_epoch),
        weight_decay=config.weight_decay if config.optimizer == "adamw" else None,
        clip_norm=config.gradient_clip_norm,
        # Keras numbers the optimizers of a process. With a fixed name, the variables have the
        # same names in the process that resumes a run.
        name=config.optimizer,
    )


def build_learning_rate(config: TrainingConfig, *, steps_per_epoch: int) -> float | WarmupCosine:
    """Return a schedule with warm-up and decay, or a constant rate."""
    if config.schedule == "constant":
        return config.learning_rate
    schedule = WarmupCosine()
    schedule.configure(config, steps_per_epoch=steps_per_epoch)
    return schedule
