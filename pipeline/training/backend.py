"""Refuses to train where Keras does not run on TensorFlow."""

import keras

from pipeline.core.errors import TrainingError


def refuse_other_backends() -> None:
    """Refuse the backends that models can be used with, but not trained here.

    Raises:
        TrainingError: If Keras was imported on another backend than TensorFlow.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise TrainingError(
            f"Keras runs on {backend} in this process, and training needs TensorFlow. Set the "
            "environment variable KERAS_BACKEND to tensorflow before Keras is imported."
        )
