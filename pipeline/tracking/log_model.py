"""Log the trained model of a run to MLflow. The logged files contain code and data, no pickles."""

import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus
from mlflow.models import Model, ModelSignature
from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from pipeline.core.arrays import FloatArray
from pipeline.core.files import read_arrays
from pipeline.core.run_directory import RunDirectory
from pipeline.core.stream_names import MASK_ENDING
from pipeline.core.traits import describe_scores
from pipeline.records.data_description import read_data

MAX_EXAMPLE_BYTES = 2**20
"""Maximum size of the input example. Its JSON file in MLflow is ten times as large.

Because image inputs exceed this limit, they are not logged. Image inputs would need hundreds of
megabytes per run, and would show faces."""

_PACKAGES = ("mlflow", "tensorflow", "keras", "numpy")


def log_model(run: RunDirectory, run_id: str, *, registered_name: str, alias: str = "") -> None:
    """Log the model of a run directory to an MLflow run.

    The model is registered if `registered_name` is not empty. If `alias` is not empty, the
    registered version gets this alias. Because existing models and versions are not created again,
    an interrupted call can be repeated.
    """
    client = MlflowClient()
    model_id = find_model(client, run_id) or _create_model(client, run, run_id)
    if not registered_name:
        return
    versions = client.search_model_versions(f"run_id='{run_id}'")
    version = next((each for each in versions if each.name == registered_name), None)
    if version is None:
        version = mlflow.register_model(f"models:/{model_id}", registered_name)
    if not version.description:
        client.update_model_version(registered_name, version.version, _describe(run))
    if alias:
        client.set_registered_model_alias(registered_name, alias, str(version.version))


def find_model(client: MlflowClient, run_id: str) -> str | None:
    """Return the id of the model that was completely logged to an MLflow run, or None."""
    outputs = client.get_run(run_id).outputs
    for output in outputs.model_outputs if outputs else ():
        if client.get_logged_model(output.model_id).status == LoggedModelStatus.READY:
            return str(output.model_id)
    return None


def _create_model(client: MlflowClient, run: RunDirectory, run_id: str) -> str:
    """Log the model with all files that `evaluate` and `predict` need."""
    mlflow_run = client.get_run(run_id)
    data, description = read_data(run.data_path), _describe(run)
    # Without this call, `Model.log` would create the model in the active experiment, and would
    # end the active MLflow run.
    model = client.create_logged_model(
        mlflow_run.info.experiment_id,
        name="model",
        source_run_id=run_id,
        params=mlflow_run.data.params,
        tags={"mlflow.note.content": description},
    )
    artifacts = {
        "keras_model": run.model_path,
        "config": run.config_path,
        "split": run.split_path,
        "baselines": run.baselines_path,
        "calibration": run.calibration_path,
        "data": run.data_path,
    }
    example = read_arrays(run.input_example_path)
    is_small = sum(array.nbytes for array in example.values()) <= MAX_EXAMPLE_BYTES
    Model.log(
        artifact_path=None,
        flavor=mlflow.pyfunc,
        run_id=run_id,
        model_id=model.model_id,
        python_model=str(Path(__file__).with_name("served_model.py")),
        artifacts={name: str(path) for name, path in artifacts.items() if path.exists()},
        signature=_signature(example, data.trait_names),
        metadata={
            "inputs": {
                name: {"shape": [-1, *array.shape[1:]], "required": not name.endswith(MASK_ENDING)}
                for name, array in example.items()
            },
            "description": description,
            "traits": [dataclasses.asdict(trait) for trait in data.traits]
            or [{"name": name} for name in data.trait_names],
        },
        input_example=example if is_small else None,
        code_paths=[str(Path(__file__).parents[1])],
        # Without this list, MLflow would import TensorFlow in a new process to find packages.
        pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in _PACKAGES],
    )
    return str(model.model_id)


def _describe(run: RunDirectory) -> str:
    """Return the text that MLflow shows with the model and with its registered version."""
    data = read_data(run.data_path)
    scores = f"Apparent personality: scores in [0, 1] for {', '.join(data.trait_names)}."
    return "\n\n".join((scores, *describe_scores(data.traits)))


def _signature(example: Mapping[str, FloatArray], trait_names: Sequence[str]) -> ModelSignature:
    inputs = [
        TensorSpec(np.dtype("float32"), (-1, *array.shape[1:]), name)
        for name, array in example.items()
    ]
    # A tensor has one name, so the name lists the columns.
    output = TensorSpec(np.dtype("float32"), (-1, len(trait_names)), ", ".join(trait_names))
    intervals = ParamSpec("intervals", DataType.boolean, default=False)
    signature = ModelSignature(
        inputs=Schema(inputs), outputs=Schema([output]), params=ParamSchema([intervals])
    )
    # This flag turns off the input check of MLflow, because `read_inputs` checks the inputs. The
    # check of MLflow requires the masks, silently drops unknown inputs, and repeats the whole
    # request in its error messages.
    signature._is_signature_from_type_hint = True  # noqa: SLF001
    return signature
