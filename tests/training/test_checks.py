import keras
import pytest

from pipeline.core.errors import TrainingError
from pipeline.training.checks import check_keras_settings


def test_another_backend_is_an_error(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(TrainingError, match=r"runs on jax .* KERAS_BACKEND to tensorflow"):
        check_keras_settings()


def test_another_precision_is_an_error():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        with pytest.raises(TrainingError, match=r"in mixed_float16 .*set_dtype_policy"):
            check_keras_settings()
    finally:
        keras.config.set_dtype_policy(before)


def test_a_frozen_model_is_an_error_before_any_file_is_written(laboratory, tmp_path):
    network = laboratory.network()
    network.trainable = False
    with pytest.raises(TrainingError, match=r"^small: none of its 141 weights is trainable"):
        laboratory.fit(tmp_path, network=network)
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_weights_is_an_error(laboratory, tmp_path):
    network = keras.Sequential([keras.layers.Dense(5)], name="lazy")
    with pytest.raises(TrainingError, match=r"^lazy: has no weights yet"):
        laboratory.fit(tmp_path, network=network)


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ({"batch_size": 1}, "every batch has one clip"),
        ({"batch_size": 43}, "the last batch of an epoch has one clip"),
        ({"batch_size": 43, "loss": {"mse": 1.0, "ccc": 0.5}}, "no gradient"),
        ({"batch_size": 16}, ""),
        ({"batch_size": 1, "loss": "mse"}, ""),
    ],
)
def test_batches_of_one_clip_are_a_warning_for_the_ccc_loss(
    laboratory, tmp_path, caplog, settings, warning
):
    laboratory.fit(tmp_path, num_epochs=1, **{"loss": "ccc", **settings})
    # TensorFlow may log warnings of its own.
    text = "".join(r.getMessage() for r in caplog.records if r.name.startswith("pipeline"))
    assert (warning in text) if warning else (text == "")
