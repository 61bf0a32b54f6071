"""A model that records every training step inside the graph.

The training of small models is faster if one call of the graph runs many training steps
(`steps_per_execution`). In this case, Keras calls the callbacks once for all these steps. Therefore
each step writes its values and times to a variable. This variable is read once per epoch.

Shapes: B clips in a batch, K traits, S steps per epoch.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.core.arrays import FloatArray
from pipeline.metrics.streaming import TraitMoments

_COLUMNS = ("begin", "end", "loss", "mae", "mse", "learning_rate")


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTrace:
    """Measurements of the training steps of one epoch. Each array has shape (S,)."""

    begin: FloatArray
    """Time at which the batch is loaded and the step starts, in seconds since 1970."""
    end: FloatArray
    """Time of the last weight update in the step, in seconds since 1970."""
    loss: FloatArray
    """Loss of the current batch, not a running mean."""
    mae: FloatArray
    """Mean absolute error across the clips and traits of the batch."""
    mse: FloatArray
    """Mean squared error across the clips and traits of the batch."""
    learning_rate: FloatArray


class InstrumentedModel(keras.Model):
    """Model that trains `network` and records each training step.

    This model and `network` share their weights. Only `network` is saved.

    Args:
        network: Model that computes scores, shape (B, K), from a tuple of inputs.
        trait_names: Names of the K traits.
        steps_per_epoch: Number of steps per epoch, S.
    """

    def __init__(
        self, network: keras.Model, *, trait_names: Sequence[str], steps_per_epoch: int
    ) -> None:
        super().__init__(name="instrumented")
        self.network = network
        self.moments = TraitMoments(trait_names)
        self._trace = tf.Variable(
            np.zeros((steps_per_epoch, len(_COLUMNS))), trainable=False, dtype=tf.float64
        )
        self._position = tf.Variable(0, trainable=False, dtype=tf.int64)

    def call(self, inputs: Any, training: bool | None = None) -> Any:  # noqa: D102
        return self.network(inputs, training=training)

    def train_step(self, data: Any) -> Any:
        """Run and record one training step."""
        inputs, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        learning_rate = tf.cast(self.optimizer.learning_rate, tf.float64)
        with tf.control_dependencies([*inputs, labels]):
            begin = _now()
        num_before = len(_graph_operations())
        logs = super().train_step(data)
        updates = [each for each in _graph_operations()[num_before:] if not each.outputs]
        # The clock operation has no inputs. Control dependencies delay it until the updates end.
        with tf.control_dependencies(updates):
            end = _now()
        values = [tf.cast(value, tf.float64) for value in (self._step_loss, *self._step_errors)]
        row = tf.reshape(self._position, (1, 1))
        step = tf.stack([begin, end, *values, learning_rate])
        self._trace.scatter_nd_update(row, step[tf.newaxis])
        self._position.assign_add(1)
        return logs

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the loss, and store it for `train_step`."""
        self._step_loss = super().compute_loss(*args, **kwargs)
        return self._step_loss

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Update the running moments. The metrics are computed once per epoch."""
        self.moments.update_state(y, y_pred)
        error = tf.cast(y, y_pred.dtype) - y_pred
        self._step_errors = (tf.reduce_mean(tf.abs(error)), tf.reduce_mean(tf.square(error)))
        return {"loss": self._loss_tracker.result()}

    def start_trace(self) -> None:
        """Start the trace of a new epoch."""
        self._position.assign(0)

    def read_trace(self) -> StepTrace:
        """Return the recorded steps of the epoch."""
        values = self._trace.numpy()[: int(self._position.numpy())]
        return StepTrace(**dict(zip(_COLUMNS, values.T, strict=True)))


def _now() -> Any:
    """Return the time of execution, in seconds since 1970.

    `tf.timestamp` is not used, because it fails if operations must be deterministic.
    """
    return tf.ensure_shape(tf.numpy_function(_clock, [], tf.float64), ())


def _clock() -> np.float64:
    return np.float64(time.time())


def _graph_operations() -> list[Any]:
    if tf.executing_eagerly():
        return []
    operations: list[Any] = tf.compat.v1.get_default_graph().get_operations()
    return operations
