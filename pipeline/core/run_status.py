"""How a run ended, as its journal says."""

from pipeline.core.journal import FINISHED, RESUMED, read_events
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
