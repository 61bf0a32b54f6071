"""Background threads of a run: the MLflow mirror, and the measurement of CPU and memory use.

Because of these threads, a slow or unreachable MLflow store does not delay training.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import psutil

from pipeline.core.interrupts import check_interrupt
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import SYSTEM_METRICS, RunLog, read_events
from pipeline.tracking.delivery import PATIENCE_SECONDS, DeliveryError, StoreUnavailableError
from pipeline.tracking.run_link import read_link
from pipeline.tracking.tracking_process import RemoteMirror, TrackingProcess

if TYPE_CHECKING:
    from pipeline.tracking.mirror import Mirror

_logger = logging.getLogger(__name__)

_SHORT_WAIT_SECONDS = 5.0
"""Maximum wait for MLflow after a signal."""
_MAX_PAUSE_SECONDS = 120.0
_POLL_SECONDS = 0.2


class BackgroundMirror:
    """Thread that delivers the run log to MLflow, itself or through a `TrackingProcess`.

    No other thread of the run calls the store.

    Args:
        build_mirror: Function that the thread calls before its first delivery.
        is_nested: True for a nested run. Because the mirror of the parent run delivers the
            remaining events, an outage is not logged, and the last delivery is not repeated.
        retry_seconds: Pause before a retry. During the run, the pause doubles after each retry.
        rest_seconds: Pause after a delivery. If epochs are short, the next delivery then contains
            the events of several epochs.
    """

    def __init__(
        self,
        build_mirror: "Callable[[], Mirror | RemoteMirror]",
        *,
        is_nested: bool = False,
        retry_seconds: float = 2.0,
        rest_seconds: float = 1.0,
    ) -> None:
        self._build_mirror = build_mirror
        self._mirror: Mirror | RemoteMirror | None = None
        self._is_nested = is_nested
        self._retry_seconds = retry_seconds
        self._rest_seconds = rest_seconds
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._abandoned = threading.Event()
        self._has_warned = False
        self.undelivered: str | None = None
        """Reason why the delivery is incomplete; None if MLflow has all events."""
        self._thread = threading.Thread(target=self._loop, name="mlflow-mirror", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Start a delivery of the new events in the run log."""
        self._wake.set()

    def close(
        self, *, seconds: float = PATIENCE_SECONDS, is_interrupted: bool = False
    ) -> str | None:
        """Deliver the remaining events. Return the reason if MLflow lacks events, else None.

        A signal ends the wait for MLflow. If `is_interrupted` is true, a signal has already ended
        the run. This signal does not end the wait.
        """
        self._closing.set()
        self._wake.set()
        deadline = time.monotonic() + seconds
        try:
            while self._thread.is_alive() and time.monotonic() < deadline:
                if not is_interrupted:
                    check_interrupt()
                self._thread.join(min(_POLL_SECONDS, deadline - time.monotonic()))
        finally:
            self._abandoned.set()
        if self._thread.is_alive() and self.undelivered is None:
            self.undelivered = f"no answer within {seconds:g} s"
        return self.undelivered

    def leave(self) -> None:
        """Deliver the remaining events in the background. Do not wait for the delivery."""
        self._closing.set()
        self._wake.set()

    def _loop(self) -> None:
        pause = self._retry_seconds
        was_down = False
        while not self._abandoned.is_set():
            self._wake.wait()
            self._wake.clear()
            is_last = self._closing.is_set()
            is_down = not self._deliver(is_last=is_last)
            if is_last and (not is_down or was_down or self._is_nested):
                return
            was_down = is_down if not is_last else was_down
            if not is_down:
                pause = self._retry_seconds
                self._closing.wait(self._rest_seconds)
            elif is_last:
                self._abandoned.wait(self._retry_seconds)
                self._wake.set()
            else:
                self._closing.wait(pause)
                self._wake.set()
                pause = min(2 * pause, _MAX_PAUSE_SECONDS)

    def _deliver(self, *, is_last: bool) -> bool:
        """Deliver the new events. Return False if the store is not reachable."""
        try:
            self._mirror = self._mirror or self._build_mirror()
            self.undelivered = self._mirror.deliver(retries_rejected=is_last)
        except DeliveryError as error:
            self.undelivered = str(error)
            if not (self._has_warned or self._is_nested or self._closing.is_set()):
                self._has_warned = True
                _logger.warning(
                    "MLflow does not accept the run now (%s). Training continues. The run log is "
                    "complete and is delivered later.",
                    error,
                )
            return not isinstance(error, StoreUnavailableError)
        except BaseException as error:  # an internal error ends the thread with a traceback
            self.undelivered = f"{type(error).__name__}: {error}"
            raise
        return True


class Untracked:
    """Mirror of a run that is not tracked in MLflow. This mirror delivers nothing."""

    undelivered: str | None = None

    def wake(self) -> None:
        """Do nothing."""


@contextlib.contextmanager
def mirrored(
    run: RunDirectory,
    *,
    is_nested: bool = False,
    patience_seconds: float = PATIENCE_SECONDS,
    process: TrackingProcess | None = None,
) -> Iterator[BackgroundMirror | Untracked]:
    """Yield the mirror of a run. The events of a tracked run are delivered during the block.

    At the end of the block, the mirror waits at most `patience_seconds` for MLflow, and after a
    signal at most 5 s. If `is_nested` is true, it does not wait, because the next fold or trial can
    begin. If this process ends before the delivery, the mirror of the parent run delivers the
    remaining events. It also logs the warnings. `process` delivers the events; by default this
    process.
    """
    if read_link(run.tracking_path) is None:
        yield Untracked()
        return
    tracking = process or TrackingProcess()
    background = BackgroundMirror(
        lambda: tracking.mirror(run, warns=not is_nested), is_nested=is_nested
    )
    background.wake()
    is_interrupted = False
    try:
        yield background
    except KeyboardInterrupt:
        is_interrupted = True
        raise
    finally:
        reason: str | None = "the delivery was interrupted"
        if is_interrupted:
            patience_seconds = min(patience_seconds, _SHORT_WAIT_SECONDS)
        try:
            if is_nested and not is_interrupted:
                background.leave()
            else:
                reason = background.close(seconds=patience_seconds, is_interrupted=is_interrupted)
        finally:
            if reason and not is_nested:
                fix = f" Complete it later: `python -m pipeline sync --run_dir {run.path}`."
                _logger.warning(
                    "The MLflow run is incomplete (%s).%s", reason, fix if run.path.exists() else ""
                )


@contextlib.contextmanager
def system_metrics(
    run_log: RunLog, *, enabled: bool, interval_seconds: float = 5.0
) -> Iterator[None]:
    """Log CPU and memory use at regular intervals during the block, and at its end.

    The measurements begin after the first other metrics of the run, because MLflow lists metrics
    in the order of their first values. In a resumed run, the step numbers of the measurements
    continue after the earlier measurements.
    """
    if not enabled:
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(
        target=_sample, args=(run_log, stop, interval_seconds), name="system-metrics", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _sample(run_log: RunLog, stop: threading.Event, interval_seconds: float) -> None:
    process = psutil.Process()
    psutil.cpu_percent()  # the first call only starts the measurement
    step = sum(event.kind == SYSTEM_METRICS for event in read_events(run_log.path))
    is_last = False
    while not is_last:
        is_last = stop.wait(interval_seconds)
        if not (run_log.has_metrics or is_last):
            continue
        memory = psutil.virtual_memory()
        metrics = {
            "system/cpu_percent": psutil.cpu_percent(),
            "system/memory_percent": memory.percent,
            "system/process_memory_mb": process.memory_info().rss / 1e6,
        }
        run_log.log_system_metrics(metrics, step=step)
        step += 1
