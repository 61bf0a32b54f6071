"""Keras `fit` with the usual callbacks, and with automatic logging to MLflow (`autolog`).

CSVLogger writes the metrics, TensorBoard writes them for its pages, ModelCheckpoint saves the model
of each epoch. MLflow's SQLite store is in the working directory of the process.
"""

import importlib.util
from pathlib import Path
from typing import Any

import keras
import mlflow

from benchmarks.problem import build_problem
from benchmarks.rivals.plain_fit import compile_network, describe
from benchmarks.timing import EpochClock


def measure(
    *, features_dir: str, batch_size: int, num_epochs: int, work_dir: str
) -> dict[str, float]:
    """Train the default model. Return its speed after the first epoch."""
    # By default, MLflow also logs the model after the last epoch, which is not measured.
    mlflow.keras.autolog(silent=True, log_models=False)
    mlflow.set_experiment("rival")
    directory = Path(work_dir)
    directory.mkdir(parents=True)
    problem = build_problem(features_dir, batch_size=batch_size, num_epochs=num_epochs)
    compile_network(problem, metrics=["mae", "mse"])
    inputs, labels = problem.training_arrays()
    clock = EpochClock()
    callbacks: list[Any] = [
        keras.callbacks.CSVLogger(str(directory / "log.csv")),
        keras.callbacks.ModelCheckpoint(str(directory / "epoch-{epoch:03d}.keras")),
    ]
    if importlib.util.find_spec("tensorboard") is not None:
        callbacks.append(keras.callbacks.TensorBoard(log_dir=str(directory / "tensorboard")))
    # MLflow adds its callback at the end, so it is measured for all epochs but the last.
    callbacks.append(keras.callbacks.LambdaCallback(on_epoch_end=clock.tick))
    with mlflow.start_run():
        problem.network.fit(
            inputs,
            labels,
            batch_size=batch_size,
            epochs=num_epochs,
            validation_data=problem.validation_arrays(),
            verbose=0,
            callbacks=callbacks,
        )
    measured = describe(problem, clock)
    keras.backend.clear_session()
    return measured
