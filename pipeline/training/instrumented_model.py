"""A model that records every training step inside the graph.

The training of small models is faster if one call of the graph runs many training steps
(`steps_per_execution`). In this case, Keras calls the callbacks once for all these steps. Therefore
the graph returns the values and times of each step. The metrics are computed once per call.

Shapes: B clips in a batch, K traits, S steps per epoch.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.core.arrays import FloatArray
from pipeline.metrics.streaming import TraitMoments

_Step = Callable[[Any, Any], tuple[Any, dict[str, Any]]]
"""Function of the inputs and the labels of a batch. It returns the scores and named numbers."""


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

    This model and `network` share their weights. Only `network` is saved. The optimizer must be a
    `FlatAdam`.

    Args:
        network: Model that computes scores, shape (B, K), from a tuple of inputs.
        trait_names: Names of the K traits.
    """

    train_function: Any
    test_function: Any

    def __init__(self, network: keras.Model, *, trait_names: Sequence[str]) -> None:
        super().__init__(name="instrumented")
        self.network = network
        self.moments = TraitMoments(trait_names)
        self._trace: list[FloatArray] = []

    def call(self, inputs: Any, training: bool | None = None) -> Any:  # noqa: D102
        return self.network(inputs, training=training)

    def make_train_function(self, force: bool = False) -> None:
        """Set the function that runs and records up to `steps_per_execution` training steps."""
        if self.train_function is None or force:
            run = self._repeat(self._train)

            def train(iterator: Any) -> dict[str, Any]:
                logs, steps = run(iterator, tf.constant(self.steps_per_execution))
                self._trace.append(steps.numpy())
                return logs

            self.train_function = train

    def make_test_function(self, force: bool = False) -> None:
        """Set the function that runs up to `steps_per_execution` validation steps."""
        if self.test_function is None or force:
            run = self._repeat(self._test)
            self.test_function = lambda iterator: run(
                iterator, tf.constant(self.steps_per_execution)
            )[0]

    def start_trace(self) -> None:
        """Start the trace of a new epoch."""
        self._trace.clear()

    def read_trace(self) -> StepTrace:
        """Return the recorded steps of the epoch."""
        columns = np.concatenate(self._trace).T
        return StepTrace(**dict(zip(StepTrace.__slots__, columns, strict=False)))

    def _train(self, inputs: Any, labels: Any) -> tuple[Any, dict[str, Any]]:
        """Run one training step."""
        with tf.control_dependencies([*inputs, labels]):
            begin = _now()
        with tf.GradientTape() as tape:
            scores, loss = self._scores_and_loss(inputs, labels, training=True)
        weights = self.network.trainable_variables
        gradients = tape.gradient(loss, [weight.value for weight in weights])
        num_before = len(_graph_operations())
        self.optimizer.apply(gradients, weights)
        updates = [each for each in _graph_operations()[num_before:] if not each.outputs]
        # The clock operation has no inputs. Control dependencies delay it until the updates end.
        with tf.control_dependencies(updates):
            end = _now()
        error = tf.cast(labels, scores.dtype) - scores
        return scores, {
            "begin": begin,
            "end": end,
            "loss": loss,
            "mae": tf.reduce_mean(tf.abs(error)),
            "mse": tf.reduce_mean(tf.square(error)),
            "learning_rate": self.optimizer.rate,
        }

    def _test(self, inputs: Any, labels: Any) -> tuple[Any, dict[str, Any]]:
        """Run one validation step."""
        scores, loss = self._scores_and_loss(inputs, labels, training=False)
        return scores, {"loss": loss}

    def _scores_and_loss(self, inputs: Any, labels: Any, *, training: bool) -> tuple[Any, Any]:
        scores = self.network(inputs, training=training)
        loss = self.loss(labels, scores)
        return scores, tf.add_n([loss, *self.network.losses])

    def _repeat(self, step: _Step) -> Callable[[Any, Any], tuple[dict[str, Any], Any]]:
        """Return a traced function that runs `step` repeatedly, until the batches end.

        Its arguments are an iterator of batches and the maximum number of steps S. It returns the
        Keras logs and the numbers of each step, shape (S, numbers), float64.
        """

        def run(iterator: Any, max_steps: Any) -> tuple[dict[str, Any], Any]:
            names: list[str] = []

            def body(number: Any, batch: Any, *arrays: Any) -> tuple[Any, ...]:
                inputs, labels = batch.get_value()
                scores, numbers = step(inputs, labels)
                names[:] = [*numbers, "num_clips"]
                row = [
                    tf.cast(each, tf.float64) for each in (*numbers.values(), tf.shape(labels)[0])
                ]
                values = (labels, scores, tf.stack(row))
                following = tf.cond(
                    number + 1 < max_steps, iterator.get_next_as_optional, lambda: batch
                )
                written = (
                    array.write(number, value) for array, value in zip(arrays, values, strict=True)
                )
                return number + 1, following, *written

            batch = iterator.get_next_as_optional()
            _, labels = iterator.element_spec
            _, _, *arrays = tf.while_loop(
                lambda number, batch, *_: (number < max_steps) & batch.has_value(),
                body,
                (
                    *(tf.constant(0), batch),
                    _collector(labels.dtype, labels.shape),
                    _collector(tf.float32, labels.shape),
                    _collector(tf.float64, None),
                ),
            )
            true, scores = (array.concat() for array in arrays[:2])
            self.moments.update_state(true, scores)
            steps = tf.ensure_shape(arrays[2].stack(), (None, len(names)))
            self._loss_tracker.update_state(
                tf.cast(steps[:, names.index("loss")], tf.float32),
                sample_weight=steps[:, names.index("num_clips")],
            )
            return {"loss": self._loss_tracker.result()}, steps

        return tf.function(tf.autograph.experimental.do_not_convert(run), reduce_retracing=True)


def _collector(dtype: Any, shape: Any) -> Any:
    """Return an array of tensors, one per step. Batches can have different numbers of clips."""
    return tf.TensorArray(dtype, size=0, dynamic_size=True, infer_shape=False, element_shape=shape)


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
