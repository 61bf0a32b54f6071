"""Which MLflow run mirrors a run directory, and how far it has got."""

import dataclasses
import os
import typing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError, RunError
from pipeline.core.files import read_json, write_json
from pipeline.core.journal import Journal, read_events
from pipeline.core.run_directory import RunDirectory
from pipeline.core.urls import hide_passwords

_LINKED = "mlflow_run"
"""Run-log event with the link of an MLflow run that has just been made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """The MLflow side of a run directory; kept in its `mlflow.json`."""

    tracking_uri: str
    """The store, without its password."""
    experiment: str
    """Name of the experiment, used when the run is created here."""
    run_name: str
    """Name of the run."""
    run_id: str = ""
    """The run; empty until the store could be reached for the first time."""
    parent_dir: str = ""
    """Run directory that this one is nested in, seen from this one; empty for none."""
    step_stride: int = 1
    """Every how many steps a step is sent, so that charts stay quick."""
    delivered: int = 0
    """Journal bytes that the store has."""
    experiment_id: str = ""
    """Id of the experiment; replaces its name."""
    run_key: str = ""
    """Unique tag of the run, written here before the run is created: if the reply is lost, the
    run is found by it."""
    refused: dict[str, str] = field(default_factory=dict)
    """Events that the store refused, for `sync`: offset in the journal and reason."""


def new_link(
    *, tracking_uri: str, experiment: str, run_name: str, parent_dir: str = "", step_stride: int = 1
) -> Link:
    """Return the link of a new run: to the run that `mlflow run` made, or to one to be made.

    As in MLflow, MLFLOW_EXPERIMENT_NAME goes before MLFLOW_EXPERIMENT_ID.
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
    """Return the link of a run directory; None if the run is not tracked.

    A file that is damaged or gone is recovered from the run log. The next delivery then sends
    everything again, which changes nothing in MLflow.

    Raises:
        RunError: If the file is damaged, and the run log names no MLflow run.
    """
    try:
        if path.exists():
            return _checked(path, read_json(path))
    except PipelineError:
        if (link := _recovered(path)) is None:
            raise
        return link
    return _recovered(path)


def with_logged_run(path: Path, link: Link) -> Link:
    """Return the link with the MLflow run in the run log.

    A damaged file can contain another run id. The lines of the run log have checksums.
    """
    logged = _recovered(path)
    if logged is None or logged.run_id == link.run_id:
        return link
    return dataclasses.replace(link, run_id=logged.run_id, run_key=logged.run_key)


def write_link(path: Path, link: Link) -> None:
    """Write the link of a run directory, without the password of its store."""
    write_json(path, _as_stored(link))


def note_link(path: Path, link: Link) -> None:
    """Write the link of a run directory to an MLflow run that has just been made or adopted.

    The run log gets it too, so that a lost file costs no second MLflow run.
    """
    stored = _as_stored(link)
    del stored["delivered"], stored["refused"]
    Journal(_journal_path(path), cuts_torn_line=False).append(_LINKED, link=stored)
    write_link(path, link)


def _as_stored(link: Link) -> dict[str, Any]:
    return {**asdict(link), "tracking_uri": hide_passwords(link.tracking_uri)}


def _journal_path(path: Path) -> Path:
    return RunDirectory(path.parent).journal_path


def _recovered(path: Path) -> Link | None:
    """Return the newest link in the run log."""
    found = [event for event in read_events(_journal_path(path)) if event.kind == _LINKED]
    return Link(**found[-1].content["link"]) if found else None


def _checked(path: Path, content: Any) -> Link:
    cure = "Restore it from a backup, or delete it: the run then continues in a new MLflow run."
    try:
        link = Link(**content)
    except TypeError as error:
        raise RunError(f"{path}: is not the link that `train` writes ({error}). {cure}") from error
    for each in dataclasses.fields(Link):
        value, kind = getattr(link, each.name), typing.get_origin(each.type) or each.type
        if type(value) is not kind:
            raise RunError(f"{path}: {each.name} is {value!r}, expected {each.type}. {cure}")
    if link.step_stride < 1:
        raise RunError(f"{path}: step_stride is {link.step_stride}, expected 1 or more. {cure}")
    if not _is_line_end(journal := _journal_path(path), link.delivered):
        raise RunError(
            f"{journal}: does not fit {path.name}: MLflow has {link.delivered} bytes of it, "
            "expected the end of a line. Restore both files from a backup."
        )
    return link


def _is_line_end(journal: Path, offset: int) -> bool:
    if offset == 0:
        return True
    if offset < 0 or not journal.exists():
        return False
    with journal.open("rb") as stream:
        stream.seek(offset - 1)
        return stream.read(1) == b"\n"
