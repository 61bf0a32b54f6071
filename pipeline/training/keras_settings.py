"""Refuses to train under settings of Keras that the numbers here do not hold under."""

import keras

from pipeline.core.errors import TrainingError


def refuse_other_settings() -> None:
    """Refuse what Keras was told for other projects, in this process or in its `keras.json`.

    Models load and score on any backend; training is written for TensorFlow. A model that was
    trained in another precision would score otherwise once it is loaded.

    Raises:
        TrainingError: If Keras runs on another backend than TensorFlow, or in another precision
            than float32.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise TrainingError(
            f"Keras runs on {backend} in this process, and training needs TensorFlow. Set the "
            "environment variable KERAS_BACKEND to tensorflow before Keras is imported."
        )
    precision = keras.config.dtype_policy().name
    if precision != "float32":
        raise TrainingError(
            f"Keras computes in {precision} in this process, and models are trained in float32. "
            'Call keras.config.set_dtype_policy("float32") before the model is built.'
        )
