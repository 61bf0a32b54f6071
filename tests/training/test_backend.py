import keras
import pytest

from pipeline.core.errors import TrainingError
from pipeline.training.backend import refuse_other_backends


def test_tensorflow_is_trained_on():
    refuse_other_backends()


def test_another_backend_is_refused_with_the_cure(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(TrainingError, match=r"runs on jax .* KERAS_BACKEND to tensorflow"):
        refuse_other_backends()
