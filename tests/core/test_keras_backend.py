import os
import subprocess
import sys

from pipeline.core.keras_backend import take_tensorflow


def test_keras_runs_on_tensorflow_whatever_the_user_has_chosen_for_other_projects(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    take_tensorflow()
    command = "import keras; print(keras.backend.backend())"
    printed = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == os.environ["KERAS_BACKEND"] == "tensorflow"
