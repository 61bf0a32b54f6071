"""Functions for an existing MLflow run: read it, download it, end it, log an evaluation to it."""

import time
from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import RunStatus

from pipeline.core.errors import RunError, first_line
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import DATASET, METRICS, Event
from pipeline.core.urls import hide_passwords
from pipeline.tracking import mlflow_entities
from pipeline.tracking.log_model import find_model
from pipeline.tracking.mlflow_settings import configure_mlflow, tracking_uri
from pipeline.tracking.run_link import read_link
from pipeline.tracking.store import STORE_ERRORS, open_store

_TRAINING_TAG = "best_epoch"
"""Tag that every finished training run has, and no other run."""


def experiment_of_run(run_id: str) -> str | None:
    """Return the name of the experiment of an MLflow run, or None if the run is not reachable."""
    configure_mlflow()
    try:
        client = open_store(tracking_uri())
        return str(client.get_experiment(client.get_run(run_id).info.experiment_id).name)
    except STORE_ERRORS:
        return None


def local_run_directory(run_id: str) -> Path | None:
    """Return the run directory of an MLflow run, or None if it is not on this machine.

    Raises:
        RunError: If the MLflow run is not reachable.
    """
    configure_mlflow()
    try:
        tags = open_store(tracking_uri()).get_run(run_id).data.tags
    except STORE_ERRORS as error:
        raise RunError(
            f"{run_id}: this MLflow run is not reachable ({first_line(error)}). "
            "Check the id, and the address of the store in MLFLOW_TRACKING_URI."
        ) from error
    run = RunDirectory(Path(tags.get("run_dir", "")))
    is_here = "run_dir" in tags and run.path.is_dir()
    link = read_link(run.tracking_path) if is_here else None
    return run.path if link is not None and link.run_id == run_id else None


def find_runs(experiment: str, filter_string: str = "") -> list[str]:
    """Return the ids of the finished training runs of an MLflow experiment, from first to last.

    Nested runs (folds, trials), searches and summaries are left out. `filter_string` is a filter
    in the syntax of MLflow, e.g. "params.seed != '0'".

    Raises:
        RunError: If MLflow is not reachable, the filter is invalid, or no run is found.
    """
    configure_mlflow()
    place = f"experiment {experiment!r}"
    try:
        client = open_store(tracking_uri())
        found = client.get_experiment_by_name(experiment)
        if found is None:
            raise RunError(
                f"{place}: does not exist in {hide_passwords(tracking_uri())}. Check the name, and "
                "the address of the store in MLFLOW_TRACKING_URI."
            )
        runs, token = [], None
        while token != "":
            page = client.search_runs(
                [found.experiment_id],
                filter_string,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            runs += page
            token = page.token or ""
    except STORE_ERRORS as error:
        raise RunError(
            f"{place}: the runs cannot be read ({first_line(error)}). Check --filter, and the "
            "address of the store in MLFLOW_TRACKING_URI."
        ) from error
    chosen = [
        run.info.run_id
        for run in runs
        if run.info.status == RunStatus.to_string(RunStatus.FINISHED)
        and "mlflow.parentRunId" not in run.data.tags
        and _TRAINING_TAG in run.data.tags
    ]
    if not chosen:
        condition = f" that match {filter_string!r}" if filter_string else ""
        raise RunError(
            f"{place}: must have finished training runs{condition}, but has only {len(runs)} other "
            "runs. Nested runs, searches and summaries do not count. Change --filter, or give the "
            "runs with --run_dir."
        )
    return chosen


def download_run(run_id: str, output_dir: Path) -> Path:
    """Download all artifacts of an MLflow run to `output_dir`, and return this directory.

    Raises:
        RunError: If the run or its artifacts are not reachable.
    """
    configure_mlflow()
    try:
        open_store(tracking_uri()).get_run(run_id)
        output_dir.mkdir(parents=True, exist_ok=True)
        mlflow.artifacts.download_artifacts(run_id=run_id, dst_path=str(output_dir))
    except STORE_ERRORS as error:
        raise RunError(
            f"{run_id}: the artifacts of this run cannot be downloaded ({first_line(error)}). "
            "Check the id, and the address of the store in MLFLOW_TRACKING_URI."
        ) from error
    return output_dir


def model_of_run(run_id: str) -> str:
    """Return the URI of the model that `train` has logged to an MLflow run.

    Raises:
        RunError: If the run is not reachable, or has no model.
    """
    configure_mlflow()
    try:
        model_id = find_model(open_store(tracking_uri()), run_id)
    except STORE_ERRORS as error:
        raise RunError(
            f"{run_id}: the model of this MLflow run is not reachable ({first_line(error)}). "
            "Check the address of the store in MLFLOW_TRACKING_URI."
        ) from error
    if model_id is None:
        raise RunError(
            f"{run_id}: this MLflow run has no model. Train with `tracking.package_model: true`."
        )
    return f"models:/{model_id}"


def download_model(uri: str) -> Path:
    """Download a packaged model, and return the directory with the files of the model.

    Raises:
        RunError: If the store or the model is not reachable, or `train` did not log the model.
    """
    configure_mlflow()
    try:
        open_store(tracking_uri())
        path = Path(mlflow.artifacts.download_artifacts(uri))
    except STORE_ERRORS as error:
        raise RunError(
            f"{uri}: the model cannot be downloaded ({first_line(error)}). "
            "Check the URI, and the address of the store in MLFLOW_TRACKING_URI."
        ) from error
    artifacts = path / "artifacts"
    if not list(artifacts.glob("*.keras")):
        raise RunError(
            f"{uri}: contains no .keras file. Give the URI of a model that `train` has logged."
        )
    return artifacts


def log_evaluation(
    uri: str, paths: Mapping[str, Path], metrics: Mapping[str, float], *, dataset: tuple[str, str]
) -> str | None:
    """Log an evaluation to the MLflow run of a model. Return None, or the reason for a failure.

    Args:
        uri: URI of the model.
        paths: Artifact folder of the MLflow run ("" is the top folder) -> file to log.
        metrics: Name in the run log -> value.
        dataset: Name and hash of the feature set.
    """
    try:
        info = mlflow.models.get_model_info(uri)
        run_id, client = info.run_id, MlflowClient()
        content = {"metrics": metrics, "step": 0}
        now = time.time_ns() // 1_000_000
        event = Event(kind=METRICS, time_ms=now, content=content, start=0, end=0)
        splits = {name.split("/")[1]: 0 for name in metrics}
        data = {"name": dataset[0], "digest": dataset[1], "splits": splits}
        source = Event(kind=DATASET, time_ms=now, content=data, start=0, end=0)
        client.log_batch(run_id, metrics=mlflow_entities.metrics(event, step_stride=1))
        client.log_batch(run_id, metrics=mlflow_entities.model_scores(event, source, info.model_id))
        for folder, path in paths.items():
            client.log_artifact(run_id, str(path), folder or None)
    except STORE_ERRORS as error:
        return first_line(error)
    return None


def end_run(run_id: str, *, status: str, reason: str) -> None:
    """End an MLflow run if its status is RUNNING and the store is reachable.

    Use this function if the process of the run was killed and the run directory is on another
    machine. `status` is FINISHED, FAILED or KILLED. `reason` is stored as the tag `failure`.
    """
    configure_mlflow()
    try:
        client = open_store(tracking_uri())
        if client.get_run(run_id).info.status == RunStatus.to_string(RunStatus.RUNNING):
            client.set_tag(run_id, "failure", reason)
            client.set_terminated(run_id, status=status)
    except STORE_ERRORS:
        return
