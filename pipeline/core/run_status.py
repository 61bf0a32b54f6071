"""How a run ended, as its run log says."""

import contextlib

from pipeline.core.errors import RunError
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import FINISHED, RESUMED, RunLog, read_events


def read_last_status(run: RunDirectory) -> str | None:
    """Return how a run ended: FINISHED, FAILED or KILLED; None where nothing says it did."""
    status = None
    for event in read_events(run.run_log_path):
        if event.kind == FINISHED:
            status = str(event.content["status"])
        elif event.kind == RESUMED:
            status = None
    return status


def check_run_log(run: RunDirectory) -> None:
    """Check that nothing is missing at the end of the run log, as far as other files show.

    Raises:
        RunError: If the run has reached its end, or a checkpoint, and the log does not have it.
    """
    if not run.checkpoints_dir.exists() or read_last_status(run) == "FINISHED":
        return
    if not run.run_log_path.exists():
        raise RunError(
            f"{run.run_log_path}: is missing. Restore it from a backup, or start a new run."
        )
    if not run.initial_path.exists():
        raise RunError(
            f"{run.run_log_path}: does not have the end of the run, but {run.initial_path}, which "
            "is removed at the end, is gone. Restore the damaged one of the two from a backup, or "
            "start a new run."
        )


def note_killed(run: RunDirectory, *, reason: str) -> None:
    """Say that a run whose process is gone was killed, unless it has ended.

    Only for who holds its directory.
    """
    if run.run_log_path.exists() and read_last_status(run) is None:
        RunLog(run.run_log_path).log_status("KILLED", reason=reason)


def note_killed_unless_at_work(run: RunDirectory, *, reason: str) -> None:
    """The same for any run: one that a process is at work in will say itself how it ended."""
    if run.run_log_path.exists():
        with contextlib.suppress(RunError), run.locked():
            note_killed(run, reason=reason)
