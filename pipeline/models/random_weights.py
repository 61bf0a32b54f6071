"""Which layers keep random weights for good: frozen before they learned anything."""

import keras
import numpy as np

from pipeline.models.complete_personality_model import CompletePersonalityModel
from pipeline.models.end_to_end import EndToEndModel
from pipeline.models.tokens import Positions
from pipeline.models.trainability import layers_by_path


def frozen_at_random(model: keras.Model) -> tuple[str, ...]:
    """Return the paths of the layers that are frozen with the random weights they were drawn with.

    To be asked before the model is adapted and trained: one that knows training rows already
    has learned before. Encoders that were loaded count as trained, and of a model of another
    kind nothing is known.
    """
    if not isinstance(model, CompletePersonalityModel | EndToEndModel) or model.is_adapted:
        return ()
    loaded = model.loaded_encoders if isinstance(model, EndToEndModel) else ()
    return tuple(
        path
        for path, layer in layers_by_path(model).items()
        if not layer.trainable
        and _is_random(layer)
        and not path.startswith(tuple(f"{encoder}/" for encoder in loaded))
    )


def _is_random(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, Positions) and layer.in_time:
        return False  # sines and cosines, fit for use as they are
    # What is not drawn starts at zero or at one.
    return any(np.ptp(np.asarray(weight)) > 0 for weight in layer.weights)
