"""Ends an MLflow run whose process is gone and whose run directory is elsewhere."""

from mlflow import MlflowClient
from mlflow.entities import RunStatus

from pipeline.tracking.store import STORE_ERRORS, configure_mlflow, open_store, tracking_uri


def end_run(run_id: str, *, status: str, reason: str) -> bool:
    """End a run that is still RUNNING; return whether the store could be reached.

    Args:
        run_id: The run.
        status: How it ended: FINISHED, FAILED or KILLED.
        reason: Why, for its tag `failure`.
    """
    configure_mlflow()
    try:
        client: MlflowClient = open_store(tracking_uri())
        if client.get_run(run_id).info.status == RunStatus.to_string(RunStatus.RUNNING):
            client.set_tag(run_id, "failure", reason)
            client.set_terminated(run_id, status=status)
    except STORE_ERRORS:
        return False
    return True
