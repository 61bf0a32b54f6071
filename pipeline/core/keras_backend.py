"""Which backend Keras takes in a process of our own."""

import os


def take_tensorflow() -> None:
    """Make Keras take TensorFlow, whatever `KERAS_BACKEND` and `keras.json` say.

    They are set for all projects of a user; training here is written for TensorFlow. Call it
    before the first import of Keras; what is started from this process inherits it.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
