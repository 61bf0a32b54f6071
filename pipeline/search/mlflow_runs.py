"""Find, link and close the MLflow runs of a study and of its trials."""

import time

import optuna
from optuna.trial import FrozenTrial

from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import log_killed_unless_running
from pipeline.search.study_spec import StudySpec
from pipeline.tracking.existing_runs import end_run
from pipeline.tracking.mlflow_settings import tracking_uri
from pipeline.tracking.run_link import Link, read_link, write_link
from pipeline.workers.names import is_of_this_machine

_RUN_ID = "mlflow_run_id"
"""User attribute of studies and trials: the id of the MLflow run."""
_PARENT_SECONDS = 20.0
"""Maximum time that a helper process waits for the MLflow run of the study."""
_REASON = "the worker was killed; the trial is tried again"


def share_study_run(run: RunDirectory, study: optuna.Study) -> bool:
    """Store the id of the study's MLflow run in the study. Return False if the id is unknown."""
    run_id = _linked_run_id(run)
    if run_id:
        study.set_user_attr(_RUN_ID, run_id)
    return bool(run_id)


def link_study_run(spec: StudySpec, study: optuna.Study) -> bool:
    """Use the study's MLflow run as the parent run of the trials in this process.

    Return False if the id of the study's run is unknown.
    """
    if _linked_run_id(spec.run):
        return True
    run_id = study.user_attrs.get(_RUN_ID, "")
    if run_id:
        link = Link(
            tracking_uri=tracking_uri(),
            experiment=spec.config.tracking.experiment,
            run_name=spec.study_name,
            run_id=run_id,
        )
        write_link(spec.run.tracking_path, link)
    return bool(run_id)


def wait_for_study_run(spec: StudySpec, study: optuna.Study) -> None:
    """Wait at most 20 s for the id of the study's MLflow run."""
    deadline = time.monotonic() + _PARENT_SECONDS
    while not link_study_run(spec, study) and time.monotonic() < deadline:
        time.sleep(0.5)


def share_trial_run(trial: optuna.Trial, run: RunDirectory) -> None:
    """Store the id of a trial's MLflow run in the study, so that any machine can end this run."""
    run_id = _linked_run_id(run)
    if run_id and _RUN_ID not in trial.user_attrs:
        trial.set_user_attr(_RUN_ID, run_id)


def trial_run_id(spec: StudySpec, trial: FrozenTrial) -> str:
    """Return the id of a trial's MLflow run, or "" if the id is unknown.

    If MLflow was unreachable during the trial, only the run directory contains the id.
    """
    return str(trial.user_attrs.get(_RUN_ID) or _linked_run_id(spec.trial_run(trial.number)))


def close_lost_run(spec: StudySpec, trial: FrozenTrial) -> None:
    """Mark the run of a lost trial and its nested runs as killed.

    If the trial's run log exists, `KILLED` is logged for each of these runs that has not ended and
    is not active. Otherwise the trial's MLflow run is ended as `KILLED` if its id is known and the
    trial ran on another machine.
    """
    run = spec.trial_run(trial.number)
    if run.run_log_path.exists():
        for each in (run, *run.nested()):
            log_killed_unless_running(each, reason=_REASON)
        return
    run_id = trial.user_attrs.get(_RUN_ID, "")
    if run_id and not is_of_this_machine(trial.user_attrs.get("worker", "")):
        end_run(run_id, status="KILLED", reason=_REASON)


def _linked_run_id(run: RunDirectory) -> str:
    link = read_link(run.tracking_path)
    return "" if link is None else link.run_id
