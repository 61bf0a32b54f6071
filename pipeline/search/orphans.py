"""Ends the runs of trials whose worker died: nothing else would."""

import platform

from optuna.trial import FrozenTrial

from pipeline.core.errors import RunError
from pipeline.core.journal import FINISHED, Journal
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_status import read_last_status
from pipeline.search.job import SearchJob
from pipeline.search.trial_directory import trial_directory
from pipeline.tracking.ending import end_run

_REASON = "the worker was killed; its trial is tried again"


def end_orphan(job: SearchJob, trial: FrozenTrial) -> None:
    """Say in journal and MLflow that a trial's run is over, if nothing has said so yet.

    The run directory of a trial of another machine is not here; its MLflow run is ended
    by its number.
    """
    run = trial_directory(job, trial.number)
    if run.journal_path.exists():
        for each in (run, *run.nested()):
            _end_journal(each)
        return
    was_here = trial.user_attrs.get("worker", "").startswith(f"{platform.node()}-")
    run_id = trial.user_attrs.get("mlflow_run_id", "")
    if run_id and not was_here:
        end_run(run_id, status="KILLED", reason=_REASON)


def _end_journal(run: RunDirectory) -> None:
    if not run.journal_path.exists() or read_last_status(run) is not None:
        return
    try:
        with run.locked():
            Journal(run.journal_path).append(FINISHED, status="KILLED", reason=_REASON)
    except RunError:
        return  # a process is still at work in it, and will say itself how it ended
