"""The model as MLflow serves it: code and plain files, nothing pickled."""

import dataclasses
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus
from mlflow.models import Model, ModelSignature
from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from pipeline.core.arrays import FloatArray
from pipeline.core.files import read_arrays
from pipeline.core.run_directory import RunDirectory
from pipeline.core.traits import NUM_TRAITS, TRAITS
from pipeline.records.data_description import read_data
from pipeline.tracking.served_inputs import MASK_ENDING

MODEL_NAME = "model"

MAX_EXAMPLE_BYTES = 2**20
"""Largest example of inputs that travels along; MLflow writes it as JSON, ten times as large.

Clips of pictures are beyond it: hundreds of megabytes a run, of the faces of those filmed."""

_PACKAGES = ("mlflow", "tensorflow", "keras", "numpy")


def log_model(run: RunDirectory, run_id: str, *, registered_name: str, alias: str = "") -> None:
    """Log the model of a run directory, and register it where a name is given.

    What the run has already is not logged again, so that a delivery that was cut off can be
    repeated.
    """
    client = MlflowClient()
    model_id = _logged_model(client, run_id) or _log_model(client, run, run_id)
    if registered_name:
        version = _registered_version(client, run_id, model_id, registered_name)
        if alias:
            client.set_registered_model_alias(registered_name, alias, version)


def _registered_version(client: MlflowClient, run_id: str, model_id: str, name: str) -> str:
    """Return the version that a run has under a name; register it where there is none."""
    for version in client.search_model_versions(f"run_id='{run_id}'"):
        if version.name == name:
            return str(version.version)
    return str(mlflow.register_model(f"models:/{model_id}", name).version)


def _logged_model(client: MlflowClient, run_id: str) -> str | None:
    """Return the id of the whole model that a run has; None where there is none."""
    outputs = client.get_run(run_id).outputs
    for output in outputs.model_outputs if outputs else ():
        if client.get_logged_model(output.model_id).status == LoggedModelStatus.READY:
            return str(output.model_id)
    return None


def _log_model(client: MlflowClient, run: RunDirectory, run_id: str) -> str:
    """Log the model with its signature, requirements and companions; return its id.

    What it takes to evaluate it, to give intervals and to describe new clips as those it was
    trained on travels along, so that its URI is enough.
    """
    home = client.get_run(run_id)
    # Made here, as log_model would make it in the experiment and the run that happen to be
    # active, and end that run.
    model = client.create_logged_model(
        home.info.experiment_id, name=MODEL_NAME, source_run_id=run_id, params=home.data.params
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
        signature=_signature(example),
        metadata={"inputs": _describe_inputs(example), "traits": _describe_traits(run)},
        input_example=example if is_small else None,
        code_paths=[str(Path(__file__).parents[1])],
        # Named outright: inferring them starts a process that imports TensorFlow.
        pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in _PACKAGES],
    )
    return str(model.model_id)


def _signature(example: Mapping[str, FloatArray]) -> ModelSignature:
    """Return what goes in and comes out, and the parameter that adds intervals."""
    inputs = [
        TensorSpec(np.dtype("float32"), (-1, *array.shape[1:]), name)
        for name, array in example.items()
    ]
    output = TensorSpec(np.dtype("float32"), (-1, NUM_TRAITS))
    with_intervals = ParamSpec("intervals", DataType.boolean, default=False)
    signature = ModelSignature(
        inputs=Schema(inputs), outputs=Schema([output]), params=ParamSchema([with_intervals])
    )
    # Leaves it to the model to check its inputs. MLflow has no optional tensors, drops inputs
    # that a schema does not name without a word, and answers what does not fit with the whole
    # request.
    signature._is_signature_from_type_hint = True  # noqa: SLF001
    return signature


def _describe_traits(run: RunDirectory) -> list[dict[str, Any]]:
    """Return how each trait is scored, in the order of the outputs.

    Without a description of the data only the names are known.
    """
    traits = read_data(run.data_path).traits if run.data_path.exists() else ()
    return [dataclasses.asdict(trait) for trait in traits] or [{"name": name} for name in TRAITS]


def _describe_inputs(example: Mapping[str, FloatArray]) -> dict[str, Any]:
    """Return the shape of each input, -1 for any number of clips, and whether it is needed."""
    return {
        name: {"shape": [-1, *array.shape[1:]], "required": not name.endswith(MASK_ENDING)}
        for name, array in example.items()
    }
