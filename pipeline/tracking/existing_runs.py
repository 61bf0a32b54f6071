"""Read, download and end MLflow runs that exist."""

import time
from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, RunStatus

from pipeline.core.errors import RunError, first_line
from pipeline.tracking.store import STORE_ERRORS, configure_mlflow, open_store, tracking_uri


def download_run(run_id: str, output_dir: Path) -> Path:
    """Fetch all artifacts of a run into `output_dir`; return it.

    Raises:
        RunError: If the run or its artifacts cannot be reached.
    """
    configure_mlflow()
    try:
        open_store(tracking_uri()).get_run(run_id)
        output_dir.mkdir(parents=True, exist_ok=True)
        mlflow.artifacts.download_artifacts(run_id=run_id, dst_path=str(output_dir))
    except STORE_ERRORS as error:
        raise RunError(
            f"{run_id}: its artifacts cannot be fetched ({first_line(error)}). "
            "Check the id, and MLFLOW_TRACKING_URI, which says where runs are."
        ) from error
    return output_dir


def download_model(uri: str) -> Path:
    """Fetch a packaged model; return the directory of its artifacts.

    Raises:
        RunError: If the store or the model cannot be reached, or it is not one of ours.
    """
    configure_mlflow()
    try:
        open_store(tracking_uri())
        path = Path(mlflow.artifacts.download_artifacts(uri))
    except STORE_ERRORS as error:
        raise RunError(
            f"{uri}: the model cannot be fetched ({first_line(error)}). "
            "Check the URI, and MLFLOW_TRACKING_URI, which says where models are."
        ) from error
    artifacts = path / "artifacts"
    if not list(artifacts.glob("*.keras")):
        raise RunError(
            f"{uri}: holds no .keras file, so it is not a model that `train` has logged. "
            "Give the URI of one that is."
        )
    return artifacts


def log_evaluation(uri: str, paths: Mapping[str, Path], metrics: Mapping[str, float]) -> str | None:
    """Add an evaluation to the run that logged a model; return None, or why it could not be.

    Args:
        uri: The model, as it was fetched.
        paths: Files by the folder of the run's artifacts that they go to; "" is the top.
        metrics: Values by their paths.
    """
    try:
        info = mlflow.models.get_model_info(uri)
        client = MlflowClient()
        now = time.time_ns() // 1_000_000
        points = [Metric(name, value, now, 0) for name, value in metrics.items()]
        client.log_batch(info.run_id, metrics=points)
        for folder, path in paths.items():
            client.log_artifact(info.run_id, str(path), folder or None)
    except STORE_ERRORS as error:
        return first_line(error)
    return None


def experiment_of_run(run_id: str) -> str | None:
    """Return the name of the experiment that a run is in; None if the store does not answer."""
    configure_mlflow()
    try:
        client = open_store(tracking_uri())
        return str(client.get_experiment(client.get_run(run_id).info.experiment_id).name)
    except STORE_ERRORS:
        return None


def end_run(run_id: str, *, status: str, reason: str) -> bool:
    """End a run that is still RUNNING; return whether the store could be reached.

    Args:
        run_id: The run.
        status: How it ended: FINISHED, FAILED or KILLED.
        reason: Why, for its tag `failure`.
    """
    configure_mlflow()
    try:
        client: MlflowClient = open_store(tracking_uri())
        if client.get_run(run_id).info.status == RunStatus.to_string(RunStatus.RUNNING):
            client.set_tag(run_id, "failure", reason)
            client.set_terminated(run_id, status=status)
    except STORE_ERRORS:
        return False
    return True
