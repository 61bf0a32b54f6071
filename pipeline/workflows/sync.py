"""Deliver a run directory to MLflow after an outage or a kill."""

from pathlib import Path

from pipeline.core.errors import IncompleteError, RunError
from pipeline.core.run_directory import open_run_directory
from pipeline.core.run_log import (
    check_run_log,
    log_killed,
    log_killed_unless_running,
    read_last_status,
)
from pipeline.tracking.mirror import deliver_rest, is_delivered
from pipeline.tracking.run_link import Link, read_link

_REASON = "the process died"


def sync_run(run_dir: Path) -> Link:
    """Deliver what is left; a run whose process is gone is marked as killed.

    Raises:
        RunError: If the run is not tracked, or a process is still at work in it.
        IncompleteError: If MLflow cannot be reached now.
    """
    run = open_run_directory(run_dir)
    link = read_link(run.tracking_path)
    if link is None:
        raise RunError(f"{run.path}: the run was not tracked (tracking.enabled was false).")
    check_run_log(run)
    # A finished and delivered run is not written to, so it may be read-only.
    if all(read_last_status(each) and is_delivered(each) for each in (run, *run.nested())):
        return link
    with run.locked():
        log_killed(run, reason=_REASON)
        for nested in run.nested():
            # Workers of a search live on for a while after what started them was killed.
            log_killed_unless_running(nested, reason=_REASON)
        missing = deliver_rest(run, seconds=None)
    link = read_link(run.tracking_path)
    if missing or link is None:
        raise IncompleteError(
            f"{run.path}: MLflow does not have all of the run yet ({missing}). Try again when "
            f"that is mended and {link.tracking_uri if link else 'MLflow'} can be reached; if the "
            f"store has moved, write where to as `tracking_uri` into {run.tracking_path}."
        )
    return link
