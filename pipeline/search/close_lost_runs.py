"""Ends the runs of trials whose worker died: nothing else would."""

from optuna.trial import FrozenTrial

from pipeline.core.run_log import log_killed_unless_running
from pipeline.search.study_spec import SearchJob
from pipeline.search.trial_directory import trial_directory
from pipeline.tracking.existing_runs import end_run
from pipeline.workers.names import is_of_this_machine

_REASON = "the worker was killed; its trial is tried again"


def end_orphan(job: SearchJob, trial: FrozenTrial) -> None:
    """Say in run log and MLflow that a trial's run is over, if nothing has said so yet.

    The run directory of a trial of another machine is not here; its MLflow run is ended
    by its number.
    """
    run = trial_directory(job, trial.number)
    if run.run_log_path.exists():
        for each in (run, *run.nested()):
            log_killed_unless_running(each, reason=_REASON)
        return
    run_id = trial.user_attrs.get("mlflow_run_id", "")
    if run_id and not is_of_this_machine(trial.user_attrs.get("worker", "")):
        end_run(run_id, status="KILLED", reason=_REASON)
