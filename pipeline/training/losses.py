"""Loss functions for scores of the traits."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from pipeline.config.schema import LossName


@keras.saving.register_keras_serializable(package="pipeline")
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

    def get_config(self) -> dict[str, Any]:  # noqa: D102
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="pipeline")
class MixedLoss(keras.losses.Loss):
    """Weighted sum of losses.

    The Huber loss is linear for errors above `huber_delta`, in score units.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        huber_delta: float = 0.1,
        name: str = "mixed",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.weights = dict(weights)
        self.huber_delta = huber_delta
        self._parts = [
            (weight, _single_loss(loss, huber_delta)) for loss, weight in self.weights.items()
        ]

    def call(self, y_true: Any, y_pred: Any) -> Any:  # noqa: D102
        return sum(weight * loss(y_true, y_pred) for weight, loss in self._parts)

    def get_config(self) -> dict[str, Any]:  # noqa: D102
        config = super().get_config()
        return {**config, "weights": self.weights, "huber_delta": self.huber_delta}


def build_loss(weights: Mapping[LossName, float], *, huber_delta: float) -> keras.losses.Loss:
    """Build the configured loss.

    If there is only one loss and its weight is 1, return this loss; otherwise a `MixedLoss`.
    """
    if list(weights.values()) == [1.0]:
        return _single_loss(next(iter(weights)), huber_delta)
    return MixedLoss({str(name): weight for name, weight in weights.items()}, huber_delta)


def _single_loss(name: str, huber_delta: float) -> keras.losses.Loss:
    losses = {
        "mae": keras.losses.MeanAbsoluteError(),
        "mse": keras.losses.MeanSquaredError(),
        "huber": keras.losses.Huber(delta=huber_delta),
        "ccc": ConcordanceLoss(),
    }
    return losses[name]
