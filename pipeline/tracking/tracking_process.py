"""Helper process that checks the MLflow store and sends a run to MLflow.

Python executes one thread at a time. Therefore the import and the calls of MLflow would delay the
import of TensorFlow and the training steps. The helper process runs on a second core. The import of
this module does not import MLflow.
"""

import contextlib
import dataclasses
import io
import logging
import os
import sys
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from pipeline.core.cores import num_usable_cores
from pipeline.core.run_directory import RunDirectory
from pipeline.tracking.delivery import DeliveryError, StoreUnavailableError
from pipeline.tracking.mlflow_settings import configure_mlflow
from pipeline.workers.helper_process import HelperProcess
from pipeline.workers.pool import Work

if TYPE_CHECKING:
    from pipeline.tracking.mirror import Mirror

_SETUP: Final = "pipeline.tracking.tracking_process:build_work"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Check:
    """Task: check the store for new runs in an experiment."""

    experiment: str
    argv: list[str]
    """Command line of the main process. MLflow logs the name of the program."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Delivery:
    """Task: deliver a run."""

    run_dir: Path
    warns: bool
    retries_rejected: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Delivered:
    """Result of a delivery."""

    rejected: str | None = None
    error: str | None = None
    """Message of the error that ended the delivery."""
    is_unavailable: bool = False
    """Whether the error is a `StoreUnavailableError`."""
    warnings: tuple[str, ...] = ()
    printed: str = ""
    """Text that MLflow has printed: at the end of a run, the URL of the run on a server."""


class TrackingProcess:
    """Helper process that checks the store, and delivers a run and its nested runs.

    If there is no helper process, or if it fails, the main process does the work itself. Use an
    object as context manager: its helper process ends with the `with` block.
    """

    def __init__(self) -> None:
        self._helper: HelperProcess | None = None
        self._lock = threading.Lock()
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self, experiment: str) -> None:
        """Start the helper process and its check of the store. Then call `check_store`.

        On a machine with one core, or if the main process has already imported MLflow, there is no
        helper process.
        """
        if num_usable_cores() == 1 or "mlflow" in sys.modules:
            return
        with contextlib.suppress(OSError):  # e.g. too many processes
            self._helper = HelperProcess(_SETUP)
            self._helper.send(_Check(experiment=experiment, argv=sys.argv))

    def check_store(self, experiment: str) -> None:
        """Check that MLflow can store a new run in `experiment`; see `check_store.check_store`.

        Raises:
            RunError: If MLflow cannot store the run.
        """
        event = self._helper.receive() if self._helper else None
        if event and event.error:
            raise event.error
        if event is None or event.kind != "result":
            self._end()
            from pipeline.tracking.check_store import check_store

            check_store(experiment)

    def mirror(self, run: RunDirectory, *, warns: bool) -> "Mirror | RemoteMirror":
        """Return a mirror that delivers in the helper process, if there is one."""
        if self._helper:
            return RemoteMirror(run, self, warns=warns)
        from pipeline.tracking.mirror import Mirror

        return Mirror(run, warns=warns)

    def deliver(self, task: _Delivery) -> _Delivered | None:
        """Deliver a run in the helper process. Return None if the helper process has failed."""
        with self._lock:  # each run has a thread
            helper = self._helper
            event = helper.call(task) if helper else None
        if self._is_closed:
            return _Delivered(error="the delivery was interrupted")
        if event is None or event.kind != "result":
            self._end()
            return None
        delivered: _Delivered = event.result
        return delivered

    def close(self) -> None:
        """End the helper process immediately. A delivery in another thread is interrupted."""
        self._is_closed = True
        self._end()

    def _end(self) -> None:
        if self._helper:
            self._helper.kill()
            self._helper.close()
            self._helper = None


class RemoteMirror:
    """Mirror of one run directory that delivers in a helper process; see `Mirror`."""

    def __init__(self, run: RunDirectory, process: TrackingProcess, *, warns: bool) -> None:
        self._run = run
        self._process = process
        self._warns = warns
        self._local: Mirror | None = None

    def deliver(self, *, retries_rejected: bool = False) -> str | None:
        """Send the new events of this run and of its nested runs; see `Mirror.deliver`."""
        delivered = None
        if self._local is None:
            delivered = self._process.deliver(
                _Delivery(
                    run_dir=self._run.path, warns=self._warns, retries_rejected=retries_rejected
                )
            )
        if delivered is None:
            from pipeline.tracking.mirror import Mirror

            self._local = self._local or Mirror(self._run, warns=self._warns)
            return self._local.deliver(retries_rejected=retries_rejected)
        sys.stdout.write(delivered.printed)
        for message in delivered.warnings:
            _logger.warning("%s", message)
        if delivered.error is not None:
            error_class = StoreUnavailableError if delivered.is_unavailable else DeliveryError
            raise error_class(delivered.error)
        return delivered.rejected


class _Collector(logging.Handler):
    """Handler that collects the warnings of this package, for the main process."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())

    def show_warning(self, message: Warning | str, *_: Any, **__: Any) -> None:
        """Collect a Python warning. This method replaces `warnings.showwarning`."""
        self._messages.append(str(message))

    def take(self) -> tuple[str, ...]:
        """Return and remove the collected messages."""
        messages = tuple(self._messages)
        self._messages.clear()
        return messages


def build_work() -> Work:
    """Import MLflow, and return the function that runs a task. Called in a helper process."""
    configure_mlflow()
    from pipeline.tracking.check_store import check_store
    from pipeline.tracking.mirror import Mirror

    collector = _Collector()
    warnings.showwarning = collector.show_warning
    logging.getLogger("pipeline").addHandler(collector)
    mirrors: dict[Path, Mirror] = {}

    def work(task: Any) -> _Delivered | None:
        if isinstance(task, _Check):
            sys.argv = task.argv
            check_store(task.experiment)
            return None
        os.environ.pop("MLFLOW_RUN_ID", None)  # the main process has written it to `mlflow.json`
        mirror = mirrors.setdefault(
            task.run_dir, Mirror(RunDirectory(task.run_dir), warns=task.warns)
        )
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            try:
                result = _Delivered(rejected=mirror.deliver(retries_rejected=task.retries_rejected))
            except DeliveryError as error:
                is_unavailable = isinstance(error, StoreUnavailableError)
                result = _Delivered(error=str(error), is_unavailable=is_unavailable)
        return dataclasses.replace(result, warnings=collector.take(), printed=printed.getvalue())

    return work
