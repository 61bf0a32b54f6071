"""A model that records every training step inside the graph.

The training of small models is faster if one call of the graph runs many training steps
(`steps_per_execution`). In this case, the callbacks are called once for all these steps. Therefore
the graph returns the values and times of each step. The metrics are computed once per call.

`fit` of Keras is not used. It creates four iterators of batches per epoch. For small feature sets,
this takes longer than the training steps.

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
    `FlatAdam`. Batches come from an endless iterator of `LabelledBatches`.

    Args:
        network: Model that computes scores, shape (B, K), from a tuple of inputs.
        trait_names: Names of the K traits.
    """

    def __init__(self, network: keras.Model, *, trait_names: Sequence[str]) -> None:
        super().__init__(name="instrumented")
        self.network = network
        self.moments = TraitMoments(trait_names)
        """Moments of the scores in the current epoch, of training or of validation."""
        self._mean_loss = keras.metrics.Mean(name="mean_loss")
        self._run_training = self._repeat(self._train)
        self._run_validation = self._repeat(self._test)
        self._trace: list[FloatArray] = []

    def train_epoch(
        self, batches: Any, num_batches: int, callbacks: keras.callbacks.CallbackList
    ) -> dict[str, float]:
        """Run and record the training steps of one epoch. Return the mean loss as Keras logs.

        One call of the graph runs up to `steps_per_execution` steps. `callbacks` are called before
        and after each call.
        """
        self._reset()
        self._trace.clear()
        logs: dict[str, float] = {}
        for begin, end in self._calls(num_batches):
            callbacks.on_train_batch_begin(begin)
            loss, _, steps = self._run_training(batches, tf.constant(end - begin))
            self._trace.append(steps.numpy())
            logs = {"loss": float(loss)}
            callbacks.on_train_batch_end(end - 1, logs)
            if self.stop_training:
                break
        return logs

    def validate(
        self, batches: Any, num_batches: int, callbacks: keras.callbacks.CallbackList
    ) -> tuple[dict[str, float], FloatArray]:
        """Compute the mean loss, as Keras logs, and the scores of all validation clips (N, K)."""
        self._reset()
        logs: dict[str, float] = {}
        scores = []
        for begin, end in self._calls(num_batches):
            callbacks.on_test_batch_begin(begin)
            loss, predicted, _ = self._run_validation(batches, tf.constant(end - begin))
            scores.append(predicted.numpy())
            logs = {"loss": float(loss)}
            callbacks.on_test_batch_end(end - 1, logs)
        return logs, np.concatenate(scores)

    def read_trace(self) -> StepTrace:
        """Return the recorded steps of the epoch."""
        columns = np.concatenate(self._trace).T
        return StepTrace(**dict(zip(StepTrace.__slots__, columns, strict=False)))

    def _calls(self, num_batches: int) -> list[tuple[int, int]]:
        """Return the first batch and the end of each call of the graph in an epoch."""
        size = self.steps_per_execution
        return [(begin, min(begin + size, num_batches)) for begin in range(0, num_batches, size)]

    def _reset(self) -> None:
        self.moments.reset_state()
        self._mean_loss.reset_state()

    def _train(self, inputs: Any, labels: Any) -> tuple[Any, dict[str, Any]]:
        """Run one training step."""
        with tf.control_dependencies([*inputs, labels]):
            begin = _now()
        # Without this dependency, the step could start before the clock is read.
        with tf.control_dependencies([begin]):
            inputs = tuple(tf.identity(each) for each in inputs)
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

    def _repeat(self, step: _Step) -> Callable[[Any, Any], tuple[Any, Any, Any]]:
        """Return a traced function that runs `step` repeatedly.

        Its arguments are an iterator of batches and the number of steps S. It returns the mean loss
        since the last reset, the scores of all clips (N, K), and the numbers of each step, shape
        (S, numbers), float64.
        """

        def run(batches: Any, num_steps: Any) -> tuple[Any, Any, Any]:
            names: list[str] = []

            def body(number: Any, *arrays: Any) -> tuple[Any, ...]:
                inputs, labels = batches.get_next()
                scores, numbers = step(inputs, labels)
                numbers["num_clips"] = tf.shape(labels)[0]
                names[:] = numbers
                row = tf.stack([tf.cast(each, tf.float64) for each in numbers.values()])
                written = (
                    array.write(number, value)
                    for array, value in zip(arrays, (labels, scores, row), strict=True)
                )
                return number + 1, *written

            _, labels = batches.element_spec
            _, *arrays = tf.while_loop(
                lambda number, *_: number < num_steps,
                body,
                (
                    tf.constant(0),
                    _collector(num_steps, labels.dtype, labels.shape),
                    _collector(num_steps, tf.float32, labels.shape),
                    _collector(num_steps, tf.float64, None),
                ),
            )
            true, scores = (array.concat() for array in arrays[:2])
            self.moments.update_state(true, scores)
            steps = tf.ensure_shape(arrays[2].stack(), (None, len(names)))
            self._mean_loss.update_state(
                tf.cast(steps[:, names.index("loss")], tf.float32),
                sample_weight=steps[:, names.index("num_clips")],
            )
            return self._mean_loss.result(), scores, steps

        return tf.function(tf.autograph.experimental.do_not_convert(run), reduce_retracing=True)


def _collector(num_steps: Any, dtype: Any, shape: Any) -> Any:
    """Return an array of tensors, one per step. Batches can have different numbers of clips."""
    return tf.TensorArray(dtype, size=num_steps, infer_shape=False, element_shape=shape)


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
