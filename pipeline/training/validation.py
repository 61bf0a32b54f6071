"""Validation of a model during training."""

import keras

from pipeline.core.arrays import FloatArray
from pipeline.data.batches import LabelledBatches
from pipeline.training.instrumented_model import InstrumentedModel


class Validation:
    """Validation clips of a fit, with one iterator for all epochs.

    Shapes: M validation clips, K traits.
    """

    def __init__(self, model: InstrumentedModel, clips: LabelledBatches) -> None:
        self.clips = clips
        self._model = model
        self._batches = iter(clips.dataset())

    def run(
        self, callbacks: keras.callbacks.CallbackList | None = None
    ) -> tuple[dict[str, float], FloatArray]:
        """Return the mean loss, as Keras logs, and the scores, shape (M, K).

        After this call, `moments` of the model are those of the validation clips.
        """
        return self._model.validate(
            self._batches, self.clips.num_batches, callbacks or keras.callbacks.CallbackList()
        )
