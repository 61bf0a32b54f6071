"""Loss functions for scores of the traits."""

import functools
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from pipeline.config.schema import LossName


class ConcordanceLoss(keras.losses.Loss):
    """Loss 1 - CCC, computed for each trait over a batch and averaged across the traits; in [0, 2].

    `epsilon`, in squared score units, is added to the denominator. Therefore the loss of a trait
    is 1 instead of 0/0 if all its scores and labels have the same value.

    Reference: Lin, 1989 (doi:10.2307/2532051), eq. 3.
    """

    def __init__(self, epsilon: float = 1e-6, name: str = "ccc", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.epsilon = epsilon

    def call(self, y_true: Any, y_pred: Any) -> Any:  # noqa: D102
        y_true = ops.cast(y_true, y_pred.dtype)
        true_mean = ops.mean(y_true, axis=0)
        pred_mean = ops.mean(y_pred, axis=0)
        covariance = ops.mean((y_true - true_mean) * (y_pred - pred_mean), axis=0)
        spread = ops.var(y_true, axis=0) + ops.var(y_pred, axis=0)
        concordance = 2.0 * covariance / (spread + ops.square(true_mean - pred_mean) + self.epsilon)
        return 1.0 - ops.mean(concordance)


class WeightedLoss(keras.losses.Loss):
    """Weighted sum of losses. The weights are variables; see `pipeline.training.optimizer`.

    The Huber loss is linear for errors above a threshold, in score units.

    Args:
        names: Names of the losses.
    """

    def __init__(self, names: Collection[LossName]) -> None:
        super().__init__(name="weighted")
        self._weights = {name: tf.Variable(1.0, trainable=False) for name in names}
        self._huber_delta = tf.Variable(1.0, trainable=False)
        self._losses: dict[str, Callable[[Any, Any], Any]] = {
            "mae": keras.losses.MeanAbsoluteError(),
            "mse": keras.losses.MeanSquaredError(),
            "huber": keras.losses.Huber(delta=self._huber_delta),
            "ccc": ConcordanceLoss(),
        }

    def configure(self, weights: Mapping[LossName, float], *, huber_delta: float) -> None:
        """Store the weights of the losses and the threshold of the Huber loss."""
        for name, weight in weights.items():
            self._weights[name].assign(weight)
        self._huber_delta.assign(huber_delta)

    def call(self, y_true: Any, y_pred: Any) -> Any:  # noqa: D102
        parts = (
            weight * self._losses[name](y_true, y_pred) for name, weight in self._weights.items()
        )
        return functools.reduce(operator.add, parts)


def build_loss(weights: Mapping[LossName, float], *, huber_delta: float) -> WeightedLoss:
    """Build the configured loss."""
    loss = WeightedLoss(weights)
    loss.configure(weights, huber_delta=huber_delta)
    return loss
