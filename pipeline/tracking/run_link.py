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
    """Name of the experiment of a new MLflow run."""
    run_name: str
    """Name of the MLflow run."""
    run_id: str = ""
    """Id of the MLflow run; "" before it is created."""
    parent_dir: str = ""
    """Relative path to the run directory of the parent, or ""."""
    step_stride: int = 1
    """Metrics are sent for every `step_stride`-th training step, so that charts stay fast."""
    delivered: int = 0
    """Number of delivered bytes of the run log."""
    experiment_id: str = ""
    """Id of the experiment. The id has priority over the name."""
    run_key: str = ""
    """Unique tag of the MLflow run, written before the run is created. The tag identifies the run
    if the reply of the store is lost."""
    refused: dict[str, str] = field(default_factory=dict)
    """Events that the store rejected: offset in the run log -> reason. `sync` sends them again."""


def new_link(
    *, tracking_uri: str, experiment: str, run_name: str, parent_dir: str = "", step_stride: int = 1
) -> Link:
    """Return the link of a new run. If `mlflow run` has created an MLflow run, use this run.

    As in MLflow, MLFLOW_EXPERIMENT_NAME has priority over MLFLOW_EXPERIMENT_ID.
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

    A damaged or missing file is recovered from the run log. The next delivery then sends all
    events again, which changes nothing in MLflow.

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

    The run id in a damaged file can be wrong. The run log is safe, because it has checksums.
    """
    logged = _newest_link(path)
    if logged is None or logged.run_id == link.run_id:
        return link
    return dataclasses.replace(link, run_id=logged.run_id, run_key=logged.run_key)


def write_link(path: Path, link: Link) -> None:
    """Write the link of a run directory without the password of the store."""
    write_json(path, _to_content(link))


def note_link(path: Path, link: Link) -> None:
    """Write the link with a new run id to `path` and to the run log.

    If the file is lost, the copy in the run log prevents a second MLflow run.
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
        raise RunError(f"{path}: is not a link that `train` has written ({error}). {fix}") from (
            error
        )
    for each in dataclasses.fields(Link):
        value, kind = getattr(link, each.name), typing.get_origin(each.type) or each.type
        if type(value) is not kind:
            raise RunError(f"{path}: {each.name} must be {each.type}, but is {value!r}. {fix}")
    if link.step_stride < 1:
        raise RunError(f"{path}: step_stride must be 1 or more, but is {link.step_stride}. {fix}")
    run_log = _run_log_path(path)
    if not _is_line_end(run_log, link.delivered):
        raise RunError(
            f"{run_log}: does not match {path.name}: MLflow has {link.delivered} bytes of the "
            "log, but no line ends at this byte. Restore both files from a backup."
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
