"""The artifacts of a run, fetched from wherever its server keeps them."""

from pathlib import Path

import mlflow

from pipeline.core.errors import RunError
from pipeline.tracking.store import (
    STORE_ERRORS,
    configure_mlflow,
    one_line,
    open_store,
    tracking_uri,
)


def download_run(run_id: str, output_dir: Path) -> Path:
    """Fetch all artifacts of a run into `output_dir`; return it.

    Raises:
        RunError: If the run or its artifacts cannot be reached.
    """
    configure_mlflow()
    try:
        open_store(tracking_uri()).get_run(run_id)
        output_dir.mkdir(parents=True, exist_ok=True)
        mlflow.artifacts.download_artifacts(run_id=run_id, dst_path=str(output_dir))
    except STORE_ERRORS as error:
        raise RunError(
            f"{run_id}: its artifacts cannot be fetched ({one_line(error)}). "
            "Check the id, and MLFLOW_TRACKING_URI, which says where runs are."
        ) from error
    return output_dir
