import keras
import pytest

from pipeline.core.errors import TrainingError
from pipeline.training.keras_settings import refuse_other_settings


def test_what_keras_does_unasked_is_accepted():
    refuse_other_settings()


def test_another_backend_is_refused_with_the_cure(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(TrainingError, match=r"runs on jax .* KERAS_BACKEND to tensorflow"):
        refuse_other_settings()


@pytest.fixture
def choose_policy():
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def test_another_precision_is_refused_with_the_cure(choose_policy):
    choose_policy("mixed_float16")
    with pytest.raises(TrainingError, match=r"in mixed_float16 .*set_dtype_policy"):
        refuse_other_settings()
