"""Decide whether training has improved a model that was already useful before training.

If not, only the heads of the model are reset. The scores are then those before training. The other
layers, e.g. the attention, keep the weights of the best epoch, but they do not affect the scores.

Shapes: M validation clips, G groups, K traits.
"""

from typing import Final

import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.data.batches import LabelledBatches
from pipeline.models.inference import infer
from pipeline.records.epochs import TraitScores, flat_names
from pipeline.records.predictions import Names
from pipeline.training.instrumented_model import InstrumentedModel

NUM_STANDARD_ERRORS: Final = 3.0
"""Minimum improvement over the starting point, in standard errors of the improvement.

The compared epoch is the best of many, and there may be few groups. Therefore the usual value of 2
is too low. experiments/RESULTS.md compares several values.
"""

_ABSOLUTE: Final = ("mae", "accuracy")
"""Monitored metrics for which the absolute error of a clip is used. For others, it is squared."""


class StartingPoint:
    """Head weights of a model before training, and its results on the validation clips.

    If a model has no attribute `head_weights`, all its variables are used.

    An epoch is clearly better if its mean error on the validation clips is lower by more than
    `NUM_STANDARD_ERRORS` standard errors. The clips of a group have similar errors, so the standard
    error is computed across groups. With few validation clips, the differences between epochs are
    mostly noise, and without this margin the best epoch would be a random one.
    """

    def __init__(
        self, model: InstrumentedModel, validation: LabelledBatches | None, *, monitor: str
    ) -> None:
        self._model = model
        self._validation = validation
        self._is_absolute = monitor in _ABSOLUTE
        self._variables = getattr(model.network, "head_weights", model.network.variables)
        self._weights = [np.array(variable.numpy()) for variable in self._variables]
        self.metrics: TraitScores | None = None
        """Validation metrics before training; None without validation clips."""
        self.value = float("nan")
        """Value of the monitored metric before training."""
        if validation is not None:
            logs = model.evaluate(validation.dataset(), return_dict=True, verbose=0)
            self.metrics = model.moments.trait_metrics()
            self.value = float({**logs, **flat_names(self.metrics)}[monitor])
            self._errors = self._errors_of(validation)

    def is_beaten(self) -> bool:
        """Return whether the current weights are clearly better than those before training.

        Without validation clips, the weights cannot be compared. The current weights are then kept.
        """
        if self._validation is None:
            return True
        improvement = self._errors - self._errors_of(self._validation)
        error = standard_error(improvement, self._validation.groups)
        return bool(improvement.mean() > NUM_STANDARD_ERRORS * error)

    def restore(self) -> None:
        """Restore the head weights before training."""
        for variable, array in zip(self._variables, self._weights, strict=True):
            variable.assign(array)

    def _errors_of(self, validation: LabelledBatches) -> FloatArray:
        """Return the mean error of each validation clip over the traits, shape (M,)."""
        network, batches = self._model.network, validation.dataset()
        scores = np.concatenate([infer(network, inputs) for inputs, _ in batches])
        difference = validation.labels - scores.astype(np.float64)
        errors = np.abs(difference) if self._is_absolute else difference**2
        return np.asarray(errors.mean(axis=1))


def standard_error(values: FloatArray, groups: Names) -> float:
    """Return the standard error of the mean of M values. Values in a group may be correlated.

    With a single group, the standard error is infinite.

    Reference: Liang & Zeger, 1986 (doi:10.1093/biomet/73.1.13), for a mean, with the factor
        G / (G - 1).
    """
    _, codes = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    sums = np.bincount(codes, weights=values - values.mean())
    num_groups = len(sums)
    if num_groups < 2:
        return float("inf")
    factor = num_groups / (num_groups - 1)
    return float(np.sqrt(factor * (sums**2).sum()) / len(values))
