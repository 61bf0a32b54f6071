"""A model that records every step from inside the graph.

Callbacks see a training step only after it left the graph. With many steps inside one
call into the graph (`steps_per_execution`), which is what makes small models fast, they
would see one in 32. So the step itself writes its values, and the times it began and
ended, into a variable; the host reads it once an epoch.

Legend: B clips in a batch, K traits, S steps an epoch.
"""

import time
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
    """What the steps of one epoch did, each of shape (S,)."""

    begin: FloatArray
    """When the step began, with its batch at hand; seconds since 1970."""
    end: FloatArray
    """When its last weight was updated; seconds since 1970."""
    loss: FloatArray
    """Loss of the batch alone, not a running mean."""
    mae: FloatArray
    """Mean absolute error of the batch, over clips and traits, in score units."""
    mse: FloatArray
    """Mean squared error of the batch, over clips and traits."""
    learning_rate: FloatArray
    """Learning rate that the step used."""


class InstrumentedModel(keras.Model):
    """Trains `network` and records its steps.

    `network` keeps its own identity: what is trained here is its weights, and it is
    `network` that is saved, loaded and served.

    Args:
        network: The model to train; maps a tuple of inputs to scores, shape (B, K).
        steps_per_epoch: Steps that one epoch has, S.
    """

    def __init__(self, network: keras.Model, *, steps_per_epoch: int) -> None:
        super().__init__(name="instrumented")
        self.network = network
        self.moments = TraitMoments()
        self._trace = tf.Variable(
            np.zeros((steps_per_epoch, len(_COLUMNS))), trainable=False, dtype=tf.float64
        )
        self._position = tf.Variable(0, trainable=False, dtype=tf.int64)

    def call(self, inputs: Any, training: bool | None = None) -> Any:  # noqa: D102
        return self.network(inputs, training=training)

    def train_step(self, data: Any) -> Any:
        """Run one step and record it."""
        inputs, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        learning_rate = tf.cast(self.optimizer.learning_rate, tf.float64)
        with tf.control_dependencies([*inputs, labels]):
            begin = _now()
        updates = _OperationsSince()
        logs = super().train_step(data)
        with tf.control_dependencies(updates.list()):
            end = _now()
        values = [tf.cast(value, tf.float64) for value in (self._step_loss, *self._step_errors)]
        self._write_step([begin, end, *values, learning_rate])
        return logs

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the loss and keep it for the record of this step."""
        self._step_loss = super().compute_loss(*args, **kwargs)
        return self._step_loss

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Update the running moments; the metrics are computed once per epoch."""
        del x, sample_weight
        self.moments.update_state(y, y_pred)
        error = tf.cast(y, y_pred.dtype) - y_pred
        self._step_errors = (tf.reduce_mean(tf.abs(error)), tf.reduce_mean(tf.square(error)))
        return {"loss": self._loss_tracker.result()}

    def start_trace(self) -> None:
        """Begin the trace of a new epoch."""
        self._position.assign(0)

    def read_trace(self) -> StepTrace:
        """Return what the epoch has recorded so far."""
        values = self._trace.numpy()[: int(self._position.numpy())]
        return StepTrace(**dict(zip(_COLUMNS, values.T, strict=True)))

    def _write_step(self, values: list[Any]) -> None:
        row = tf.reshape(self._position, (1, 1))
        self._trace.scatter_nd_update(row, tf.stack(values)[tf.newaxis])
        self._position.assign_add(1)


def _now() -> Any:
    """Return the time of its execution, in seconds since 1970.

    TensorFlow's own timestamp refuses to run when operations must be deterministic.
    """
    return tf.ensure_shape(tf.numpy_function(_clock, [], tf.float64), ())


def _clock() -> np.float64:
    return np.float64(time.time())


class _OperationsSince:
    """The operations that joined the graph since this object was made.

    The clock has no inputs, so nothing but control dependencies keeps it from being
    read before the weights are updated.
    """

    def __init__(self) -> None:
        self._graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        self._before = len(self._graph.get_operations()) if self._graph else 0

    def list(self) -> list[Any]:
        if self._graph is None:
            return []
        return [op for op in self._graph.get_operations()[self._before :] if not op.outputs]
