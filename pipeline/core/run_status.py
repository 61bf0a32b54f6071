"""How a run ended, as its journal says."""

import contextlib

from pipeline.core.errors import RunError
from pipeline.core.journal import FINISHED, RESUMED, Journal, read_events
from pipeline.core.run_directory import RunDirectory


def read_last_status(run: RunDirectory) -> str | None:
    """Return how a run ended: FINISHED, FAILED or KILLED; None where nothing says it did."""
    status = None
    for event in read_events(run.journal_path):
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
    if not run.journal_path.exists():
        raise RunError(
            f"{run.journal_path}: is missing. Restore it from a backup, or start a new run."
        )
    if not run.initial_path.exists():
        raise RunError(
            f"{run.journal_path}: does not have the end of the run, but {run.initial_path}, which "
            "is removed at the end, is gone. Restore the damaged one of the two from a backup, or "
            "start a new run."
        )


def note_killed(run: RunDirectory, *, reason: str) -> None:
    """Say that a run whose process is gone was killed, unless it has ended.

    Only for who holds its directory.
    """
    if run.journal_path.exists() and read_last_status(run) is None:
        Journal(run.journal_path).append(FINISHED, status="KILLED", reason=reason)


def note_killed_unless_at_work(run: RunDirectory, *, reason: str) -> None:
    """The same for any run: one that a process is at work in will say itself how it ended."""
    if run.journal_path.exists():
        with contextlib.suppress(RunError), run.locked():
            note_killed(run, reason=reason)
