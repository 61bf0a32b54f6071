"""Streaming metrics for Keras.

For any batch size, they are equal to the metrics that NumPy computes from all clips at once.

The Keras metrics `PearsonCorrelation` and `ConcordanceCorrelation` are averages of correlations
within single clips or within batches. Such an average is not the correlation across all clips.

Shapes: B clips of a batch, K traits.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.metrics.regression import NUM_MOMENTS, SHIFT, metrics_from_moments, name_traits


class TraitMoments(keras.metrics.Metric):
    """Keras metric that sums the moments of all clips and computes the metrics from the sums.

    The sums are float64 for any precision of the model. In float32, the variances would be too
    inexact.

    Args:
        trait_names: Names of the K columns of the scores.
    """

    def __init__(self, trait_names: Sequence[str]) -> None:
        super().__init__(name="traits", dtype="float64")
        self._trait_names = tuple(trait_names)
        self._moments = self.add_variable(
            shape=(NUM_MOMENTS, len(self._trait_names)),
            initializer="zeros",
            dtype="float64",
            name="moments",
        )

    def update_state(self, y_true: Any, y_pred: Any) -> None:
        """Add a batch of annotated and predicted scores, shape (B, K) each.

        Raises:
            ValueError: If an array does not have the shape (B, K).
        """
        true = self._as_scores("y_true", y_true) - SHIFT
        pred = self._as_scores("y_pred", y_pred) - SHIFT
        error = ops.abs(true - pred)
        rows = ops.stack(
            (ops.ones_like(true), true, pred, true * true, pred * pred, true * pred, error)
        )
        self._moments.assign_add(ops.sum(rows, axis=1))

    def result(self) -> dict[str, Any]:
        """Return an empty dictionary to Keras. `trait_metrics` returns the values."""
        return {}

    def trait_metrics(self) -> dict[str, dict[str, float]]:
        """Return metrics like `regression.trait_metrics`; all are NaN before the first batch."""
        metrics = metrics_from_moments(np.asarray(self._moments.numpy()))
        return {
            metric: name_traits(values, self._trait_names) for metric, values in metrics.items()
        }

    def _as_scores(self, argument: str, scores: Any) -> Any:
        tensor = ops.convert_to_tensor(scores, dtype="float64")
        num_traits = len(self._trait_names)
        # Without this check, a single column would be broadcast to all traits.
        if len(tensor.shape) != 2 or tensor.shape[1] not in (None, num_traits):
            raise ValueError(
                f"{argument} must have shape (clips, {num_traits}); found {tuple(tensor.shape)}"
            )
        return tensor
