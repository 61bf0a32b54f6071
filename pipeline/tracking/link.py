"""Which MLflow run mirrors a run directory, and how far it has got."""

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipeline.core.errors import RunError
from pipeline.core.files import read_json, write_json


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """The MLflow side of a run directory; kept in its `mlflow.json`."""

    tracking_uri: str
    """The store."""
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
    run_key: str = ""
    """Unique tag of the run, written here before the run is created: if the reply is lost, the
    run is found by it."""
    refused: dict[str, str] = field(default_factory=dict)
    """Events that the store refused, for `sync`: offset in the journal and reason."""


def new_link(
    *, tracking_uri: str, experiment: str, run_name: str, parent_dir: str = "", step_stride: int = 1
) -> Link:
    """Return the link of a new run: to the run that `mlflow run` made, or to one to be made."""
    run_id = "" if parent_dir else os.environ.pop("MLFLOW_RUN_ID", "")
    return Link(
        tracking_uri=tracking_uri,
        experiment=experiment,
        run_name=run_name,
        run_id=run_id,
        parent_dir=parent_dir,
        step_stride=step_stride,
    )


def read_link(path: Path) -> Link | None:
    """Return the link of a run directory; None where the run is not tracked.

    Raises:
        RunError: If the file is damaged.
    """
    if not path.exists():
        return None
    try:
        return Link(**read_json(path))
    except TypeError as error:
        raise RunError(f"{path}: is not the link that `train` writes ({error}).") from error


def write_link(path: Path, link: Link) -> None:
    """Write the link of a run directory."""
    write_json(path, asdict(link))
