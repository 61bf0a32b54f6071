"""Where the runs of a study are kept, here and in MLflow."""

from optuna.trial import FrozenTrial

from pipeline.core.run_directory import RunDirectory
from pipeline.search.study_spec import SearchJob
from pipeline.tracking.run_link import read_link


def trial_directory(job: SearchJob, number: int) -> RunDirectory:
    """Return the run directory of a trial."""
    return RunDirectory(job.run.trials_dir / f"trial-{number:04d}")


def trial_mlflow_run(job: SearchJob, trial: FrozenTrial) -> str:
    """Return the MLflow run of a trial, as the study or its directory notes it; empty if unknown.

    A trial that ends while MLflow cannot be reached gets its run later, and cannot note it then.
    """
    if noted := trial.user_attrs.get("mlflow_run_id"):
        return str(noted)
    link = read_link(trial_directory(job, trial.number).tracking_path)
    return link.run_id if link is not None else ""
