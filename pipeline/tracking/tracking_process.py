"""Helper process that checks the MLflow store and sends a run to MLflow.

Python executes one thread at a time. Therefore the import and the calls of MLflow would delay the
import of TensorFlow and the training steps. The helper process runs on a second core. The import of
this module does not import MLflow.
"""

import contextlib
import dataclasses
import io
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.core.cores import num_usable_cores
from pipeline.core.run_directory import RunDirectory
from pipeline.tracking.delivery import DeliveryError
from pipeline.tracking.mlflow_settings import configure_mlflow
from pipeline.workers.helper_process import HelperProcess
from pipeline.workers.messages import Message, MessageCollector, show_messages
from pipeline.workers.pool import Work

if TYPE_CHECKING:
    from pipeline.tracking.mirror import Mirror

_SETUP: Final = "pipeline.tracking.tracking_process:build_work"


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
    error: DeliveryError | None = None
    """Error that ended the delivery."""
    messages: tuple[Message, ...] = ()
    printed: str = ""
    """Text that MLflow has printed: at the end of a run, the URL of the run on a server."""


class TrackingProcess:
    """Helper process that checks the store, and delivers a run and its nested runs.

    If there is no helper process, or if it fails, the main process does the work itself. Call
    `close` in any case, for instance with `contextlib.closing`.
    """

    def __init__(self) -> None:
        self._helper: HelperProcess | None = None
        self._lock = threading.Lock()
        self._is_closed = False

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
            return _Delivered(error=DeliveryError("the delivery was interrupted"))
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
        helper, self._helper = self._helper, None  # several threads may call this method
        if helper:
            helper.kill()
            helper.close()


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
        show_messages(delivered.messages)
        if delivered.error:
            raise delivered.error
        return delivered.rejected


def build_work() -> Work:
    """Import MLflow, and return the function that runs a task. Called in a helper process."""
    configure_mlflow()
    from pipeline.tracking.check_store import check_store
    from pipeline.tracking.mirror import Mirror

    collector = MessageCollector()
    collector.install()
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
                result = _Delivered(error=error)
        return dataclasses.replace(result, messages=collector.take(), printed=printed.getvalue())

    return work
