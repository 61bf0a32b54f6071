"""Exact streaming metrics for Keras: equal to the numpy ones for any batching.

Keras' own `PearsonCorrelation` and `ConcordanceCorrelation` correlate across the traits
of one clip, or average over batches; neither is the correlation over all clips.

Shapes: B clips of a batch, K = 5 traits.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.core.traits import NUM_TRAITS, TRAITS
from pipeline.metrics.moments import MOMENTS, SHIFT, metrics_from_moments
from pipeline.metrics.regression import METRICS, name_traits


@keras.saving.register_keras_serializable(package="pipeline")
class TraitMoments(keras.metrics.Metric):
    """Accumulates the moments of all clips seen, and derives every metric from them.

    The sums are float64, whatever the precision of the model: an epoch of float32 sums
    would lose the digits that a variance is made of.

    Args:
        name: Name of the metric. Keras' logs show the keys of `result()` in its place.
    """

    def __init__(self, name: str = "traits") -> None:
        super().__init__(name=name, dtype="float64")
        self._moments = self.add_variable(
            shape=(len(MOMENTS), NUM_TRAITS), initializer="zeros", dtype="float64", name="moments"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add one batch.

        Args:
            y_true: Annotated scores in [0, 1], shape (B, 5), in OCEAN order.
            y_pred: Predicted scores, shape (B, 5).
            sample_weight: Weight of each clip, shape (B,) or (B, 1); all 1 if None.

        Raises:
            ValueError: If the scores are not of five traits.
        """
        true = _as_scores("y_true", y_true) - SHIFT
        pred = _as_scores("y_pred", y_pred) - SHIFT
        error = ops.abs(true - pred)
        rows = ops.stack(
            (ops.ones_like(true), true, pred, true * true, pred * pred, true * pred, error)
        )
        if sample_weight is not None:
            rows = rows * ops.reshape(ops.cast(sample_weight, "float64"), (-1, 1))
        self._moments.assign_add(ops.sum(rows, axis=1))

    def result(self) -> dict[str, Any]:
        """Return every metric as a scalar tensor, NaN before the first batch.

        Returns:
            `"mae"` is the mean over the traits, `"mae_openness"` the value of one of
            them, and so on for all of `METRICS`.
        """
        metrics = metrics_from_moments(self._moments.value, backend=ops)
        traits = ops.stack([metrics[metric] for metric in METRICS])
        means = ops.mean(traits, axis=1, keepdims=True)
        # One unstack in place of 36 slices: this runs in the graph of every training step.
        scalars = ops.unstack(ops.reshape(ops.concatenate([means, traits], axis=1), (-1,)))
        return dict(zip(_result_keys(), scalars, strict=True))

    def numpy_result(self) -> dict[str, dict[str, float]]:
        """Return every metric in the nested form of `trait_metrics`, computed by numpy.

        Returns:
            Metric -> trait name or `"mean"` -> value; NaN before the first batch.
        """
        metrics = metrics_from_moments(np.asarray(self._moments.numpy()))
        return {metric: name_traits(values) for metric, values in metrics.items()}

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` rebuilds the metric from."""
        return {"name": self.name}


def _as_scores(argument: str, scores: Any) -> Any:
    tensor = ops.convert_to_tensor(scores, dtype="float64")
    # A single column would otherwise be broadcast against five, and score without a word.
    if len(tensor.shape) != 2 or tensor.shape[1] not in (None, NUM_TRAITS):
        raise ValueError(
            f"{argument} must have shape (clips, {NUM_TRAITS}); found {tuple(tensor.shape)}"
        )
    return tensor


def _result_keys() -> list[str]:
    return [
        key for metric in METRICS for key in (metric, *(f"{metric}_{trait}" for trait in TRAITS))
    ]
