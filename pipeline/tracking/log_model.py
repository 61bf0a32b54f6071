"""Log the trained model of a run to MLflow. The logged files contain code and data, no pickles."""

import dataclasses
import importlib.metadata
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from pipeline.core.arrays import FloatArray
from pipeline.core.files import read_arrays
from pipeline.core.run_directory import RunDirectory
from pipeline.core.stream_names import MASK_ENDING
from pipeline.records.data_description import read_data
from pipeline.tracking.descriptions import describe_model

MAX_EXAMPLE_BYTES = 2**20
"""Maximum size of the input example. Its JSON file in MLflow is ten times as large.

Because image inputs exceed this limit, they are not logged. Image inputs would need hundreds of
megabytes per run, and would show faces."""

_PACKAGES = ("mlflow", "tensorflow", "keras", "numpy")


def log_model(run: RunDirectory, run_id: str, *, registered_name: str, alias: str = "") -> str:
    """Log the model of a run directory to an MLflow run, and return the id of the model.

    The model is registered if `registered_name` is not empty. If `alias` is not empty, the
    registered version gets this alias. Because existing models and versions are not created again,
    an interrupted call can be repeated.
    """
    client = MlflowClient()
    model_id = find_model(client, run_id) or _create_model(client, run, run_id)
    if not registered_name:
        return model_id
    versions = client.search_model_versions(f"run_id='{run_id}'")
    version = next((each for each in versions if each.name == registered_name), None)
    if version is None:
        version = mlflow.register_model(f"models:/{model_id}", registered_name)
    if not version.description:
        description = describe_model(run)
        client.update_model_version(registered_name, version.version, description)
        # The description of the model is that of its newest version.
        client.update_registered_model(registered_name, description)
    if alias:
        client.set_registered_model_alias(registered_name, alias, str(version.version))
    return model_id


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
    name, experiment = mlflow_run.info.run_name or "", mlflow_run.data.params.get("name", "")
    if not name.startswith(experiment):
        name = f"{experiment} {name}"  # for instance, of the run `best refit`
    name = re.sub(r"[^\w-]+", "-", name).strip("-") or "model"
    data, description = read_data(run.data_path), describe_model(run)
    # Without this call, `Model.log` would create the model in the active experiment, and would
    # end the active MLflow run.
    model = client.create_logged_model(
        mlflow_run.info.experiment_id,
        name=name,
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
        flavor=_Flavor,
        validate_serving_input=False,
        run_id=run_id,
        model_id=model.model_id,
        # MLflow links all metrics with this step to the model. No metric has this step, because
        # the sender of the run log links the scores of the model, and only these.
        step=-1,
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


class _Flavor:
    """MLflow's flavor `pyfunc`, for a model that is not tried out after it is saved.

    By default, `Model.log` loads the saved model and predicts its input example, which takes more
    than half of the time. `mlflow.pyfunc` does not accept the option that turns this off.
    """

    @staticmethod
    def save_model(*, validate_serving_input: bool, **options: Any) -> None:
        del validate_serving_input
        mlflow.pyfunc.save_model(**options)


def _signature(example: Mapping[str, FloatArray], trait_names: Sequence[str]) -> ModelSignature:
    inputs = [
        TensorSpec(np.dtype("float32"), (-1, *array.shape[1:]), name)
        for name, array in example.items()
    ]
    outputs = [ColSpec(DataType.float, name) for name in trait_names]
    intervals = ParamSpec("intervals", DataType.boolean, default=False)
    signature = ModelSignature(
        inputs=Schema(inputs), outputs=Schema(outputs), params=ParamSchema([intervals])
    )
    # This flag turns off the input check of MLflow, because `read_inputs` checks the inputs. The
    # check of MLflow requires the masks, silently drops unknown inputs, and repeats the whole
    # request in its error messages.
    signature._is_signature_from_type_hint = True  # noqa: SLF001
    return signature
