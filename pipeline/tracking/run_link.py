"""`mlflow.json`: link from a run directory to its MLflow run, and state of the delivery."""

import dataclasses
import os
import typing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError, RunError
from pipeline.core.files import read_json, write_json
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import LINK, RunLog, read_events
from pipeline.core.urls import hide_passwords


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """Content of `mlflow.json` in a run directory."""

    tracking_uri: str
    """URI of the store, without password."""
    experiment: str
    """Name of the MLflow experiment in which a new MLflow run is created."""
    run_name: str
    """Name of the MLflow run."""
    run_id: str = ""
    """Id of the MLflow run; "" if the MLflow run does not exist yet."""
    parent_dir: str = ""
    """Path from this run directory to the directory of the parent run; "" without a parent."""
    step_stride: int = 1
    """Metrics of every `step_stride`-th training step are sent. Fewer points make charts faster."""
    delivered: int = 0
    """Number of delivered bytes of the run log."""
    experiment_id: str = ""
    """Id of the MLflow experiment, or "". The id has priority over the name in `experiment`."""
    run_key: str = ""
    """Unique tag of the MLflow run. It is written to the file before the MLflow run is created. If
    the reply of the store is lost, the MLflow run is found by this tag."""
    refused: dict[str, str] = field(default_factory=dict)
    """Rejected events: offset in the run log -> name of the value or file, and the reason."""


def new_link(
    *, tracking_uri: str, experiment: str, run_name: str, parent_dir: str = "", step_stride: int = 1
) -> Link:
    """Return the link of a new run directory.

    If `mlflow run` has created an MLflow run, the link contains the id of this MLflow run. As in
    MLflow, MLFLOW_EXPERIMENT_NAME has priority over MLFLOW_EXPERIMENT_ID.
    """
    run_id = "" if parent_dir else os.environ.pop("MLFLOW_RUN_ID", "")
    is_named = parent_dir or run_id or os.environ.get("MLFLOW_EXPERIMENT_NAME")
    return Link(
        tracking_uri=tracking_uri,
        experiment=experiment,
        run_name=run_name,
        run_id=run_id,
        parent_dir=parent_dir,
        step_stride=step_stride,
        experiment_id="" if is_named else os.environ.get("MLFLOW_EXPERIMENT_ID", ""),
    )


def read_link(path: Path) -> Link | None:
    """Read the link of a run directory. Return None if the run is not tracked.

    If the file is damaged or missing, the link is read from the run log. In this case, the next
    delivery sends all events again, but MLflow stores each event once.

    Raises:
        RunError: If the file is damaged and the run log contains no link.
    """
    try:
        if path.exists():
            return _check_link(path, read_json(path))
    except PipelineError:
        if (link := _newest_link(path)) is None:
            raise
        return link
    return _newest_link(path)


def with_logged_run(path: Path, link: Link) -> Link:
    """Return the link with the run id from the run log.

    The run id in a damaged file can be wrong. The id in the run log is protected by a checksum.
    """
    logged = _newest_link(path)
    if logged is None or logged.run_id == link.run_id:
        return link
    return dataclasses.replace(link, run_id=logged.run_id, run_key=logged.run_key)


def write_link(path: Path, link: Link) -> None:
    """Write the link of a run directory. The password of the store is left out."""
    write_json(path, _to_content(link))


def note_link(path: Path, link: Link) -> None:
    """Write the link with a new run id to `path` and to the run log.

    Without the copy in the run log, the loss of the file would lead to a second MLflow run.
    """
    content = _to_content(link)
    del content["delivered"], content["refused"]
    RunLog(_run_log_path(path), removes_torn_line=False).log_link(content)
    write_link(path, link)


def _to_content(link: Link) -> dict[str, Any]:
    return {**asdict(link), "tracking_uri": hide_passwords(link.tracking_uri)}


def _run_log_path(path: Path) -> Path:
    return RunDirectory(path.parent).run_log_path


def _newest_link(path: Path) -> Link | None:
    found = [event for event in read_events(_run_log_path(path)) if event.kind == LINK]
    return Link(**found[-1].content["link"]) if found else None


def _check_link(path: Path, content: Any) -> Link:
    fix = "Restore it from a backup, or delete it: the run then continues in a new MLflow run."
    try:
        link = Link(**content)
    except TypeError as error:
        raise RunError(
            f"{path}: does not have the format that `train` writes ({error}). {fix}"
        ) from (error)
    for each in dataclasses.fields(Link):
        value, kind = getattr(link, each.name), typing.get_origin(each.type) or each.type
        if type(value) is not kind:
            raise RunError(f"{path}: {each.name} must be {each.type}, but is {value!r}. {fix}")
    if link.step_stride < 1:
        raise RunError(f"{path}: step_stride must be 1 or more, but is {link.step_stride}. {fix}")
    run_log = _run_log_path(path)
    if not _is_line_end(run_log, link.delivered):
        raise RunError(
            f"{run_log}: does not match {path.name}: {link.delivered} bytes of the log are "
            "delivered, but no line ends at this byte. Restore both files from a backup."
        )
    return link


def _is_line_end(run_log: Path, offset: int) -> bool:
    if offset == 0:
        return True
    if offset < 0 or not run_log.exists():
        return False
    with run_log.open("rb") as stream:
        stream.seek(offset - 1)
        return stream.read(1) == b"\n"
