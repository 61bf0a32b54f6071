"""Send the undelivered events of a run to MLflow, for example after an outage."""

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


def sync_run(run_dir: Path) -> Link:
    """Send all undelivered events to MLflow. An unfinished run gets the status `KILLED`.

    Raises:
        RunError: If the run is not tracked, or a process still writes to its directory.
        IncompleteError: If MLflow cannot be reached.
    """
    run = open_run_directory(run_dir)
    link = read_link(run.tracking_path)
    if link is None:
        raise RunError(f"{run.path}: the run was not tracked (tracking.enabled was false).")
    check_run_log(run)
    # A delivered run is not changed, because its directory may be read-only.
    if all(read_last_status(item) and is_delivered(item) for item in (run, *run.nested())):
        return link
    with run.locked():
        reason = "the process died"
        log_killed(run, reason=reason)
        for nested in run.nested():
            # Search workers outlive a killed main process, so a nested run may be active.
            log_killed_unless_running(nested, reason=reason)
        missing = deliver_rest(run, seconds=None)
    link = read_link(run.tracking_path)
    if missing or link is None:
        raise IncompleteError(
            f"{run.path}: MLflow does not have the whole run yet ({missing}). Try again when "
            f"{link.tracking_uri if link else 'MLflow'} can be reached. If the store has moved, "
            f"write the new address as `tracking_uri` into {run.tracking_path}."
        )
    return link
