"""Check the MLflow store in a helper process while this process imports TensorFlow.

The import of this module does not import MLflow.
"""

import contextlib
import sys
import warnings
from types import TracebackType
from typing import Any, Final, Self

from pipeline.core.cores import num_usable_cores
from pipeline.tracking.mlflow_settings import configure_mlflow
from pipeline.workers.helper_process import HelperProcess
from pipeline.workers.pool import Work

_SETUP: Final = "pipeline.tracking.early_check:build_check"


class StoreCheck:
    """Check that MLflow can store a new run in `experiment`; see `check_store`.

    The helper process imports MLflow, and checks the store, on a second core. Without `start`, or
    if the helper process fails, `finish` makes the check in this process.

    Use an object as context manager: its process ends with the `with` block.
    """

    def __init__(self, experiment: str) -> None:
        self._experiment = experiment
        self._helper: HelperProcess | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def start(self) -> None:
        """Start the check in a helper process, if this saves time.

        On a machine with one core, or if this process has already imported MLflow, there is no
        helper process.
        """
        if num_usable_cores() == 1 or "mlflow" in sys.modules:
            return
        with contextlib.suppress(OSError):  # e.g. too many processes
            self._helper = HelperProcess(_SETUP)
            self._helper.send(self._experiment)

    def finish(self) -> None:
        """Wait for the result of the check.

        Raises:
            RunError: If MLflow cannot store a new run in the experiment.
        """
        event = self._helper.receive() if self._helper else None
        if event and event.error:
            raise event.error
        if event is None or event.kind != "result":
            from pipeline.tracking.check_store import check_store

            check_store(self._experiment)
        elif event.result:
            self._end()

    def _end(self) -> None:
        if self._helper:
            self._helper.kill()
            self._helper.close()
            self._helper = None


def build_check() -> Work:
    """Import MLflow, and return the function that checks the store. Called in a helper process."""
    configure_mlflow()
    from pipeline.tracking.check_store import check_store

    def check(experiment: Any) -> bool:
        # The first delivery to the store, in the main process, gives the same warnings.
        warnings.simplefilter("ignore")
        return check_store(experiment)

    return check
