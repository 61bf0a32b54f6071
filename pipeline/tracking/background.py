"""Mirror a run while it trains, in a thread: no store, slow or gone, holds up training."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

import psutil

from pipeline.core.interrupts import check_interrupt
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import SYSTEM_METRICS, RunLog, read_events
from pipeline.tracking.mirror import (
    PATIENCE_SECONDS,
    DeliveryError,
    Mirror,
    StoreUnavailableError,
)
from pipeline.tracking.run_link import read_link

_logger = logging.getLogger(__name__)

_SHORT_WAIT_SECONDS = 5.0
"""Longest wait of a nested run, and of a run that a signal has ended."""
_LONGEST_PAUSE_SECONDS = 120.0
_LOOK_SECONDS = 0.2


class BackgroundMirror:
    """Runs a mirror in a thread. Nobody but this thread talks to the store.

    Args:
        mirror: What delivers.
        is_nested: Whether another mirror delivers what is left here: then an outage is not
            logged, and `close` does not try again.
        retry_seconds: Pause before the next try; while the run goes on it doubles each time.
        rest_seconds: Pause after a delivery: epochs of a fraction of a second go together.
    """

    def __init__(
        self,
        mirror: Mirror,
        *,
        is_nested: bool = False,
        retry_seconds: float = 2.0,
        rest_seconds: float = 1.0,
    ) -> None:
        self._mirror = mirror
        self._is_nested = is_nested
        self._retry_seconds = retry_seconds
        self._rest_seconds = rest_seconds
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._abandoned = threading.Event()
        self._warned = False
        self._reason: str | None = None
        self._thread = threading.Thread(target=self._loop, name="mlflow-mirror", daemon=True)
        self._thread.start()

    @property
    def undelivered(self) -> str | None:
        """Why MLflow does not have all of the run, as far as is known; None if it has."""
        return self._reason

    def wake(self) -> None:
        """Announce that the run log has grown."""
        self._wake.set()

    def close(
        self, *, seconds: float = PATIENCE_SECONDS, is_interrupted: bool = False
    ) -> str | None:
        """Deliver the rest, and return None, or why something is left for `sync`.

        Args:
            seconds: Longest wait.
            is_interrupted: Whether a signal has ended the run; otherwise a signal ends the wait.
        """
        self._closing.set()
        self._wake.set()
        deadline = time.monotonic() + seconds
        try:
            while self._thread.is_alive() and time.monotonic() < deadline:
                if not is_interrupted:
                    check_interrupt()
                self._thread.join(min(_LOOK_SECONDS, deadline - time.monotonic()))
        finally:
            self._abandoned.set()
        if self._thread.is_alive() and self._reason is None:
            self._reason = f"no answer within {seconds:g} s"
        return self._reason

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
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _deliver(self, *, is_last: bool) -> bool:
        """Deliver what there is; return False if the store cannot be reached."""
        try:
            self._reason = self._mirror.deliver(retries_refused=is_last)
        except DeliveryError as error:
            self._reason = str(error)
            self._warn(error)
            return not isinstance(error, StoreUnavailableError)
        except BaseException as error:  # a fault of ours: the thread ends with a traceback
            self._reason = f"{type(error).__name__}: {error}"
            raise
        return True

    def _warn(self, error: DeliveryError) -> None:
        if not (self._warned or self._is_nested or self._closing.is_set()):
            self._warned = True
            _logger.warning(
                "MLflow does not take the run now (%s). The run goes on; its run log keeps "
                "everything and is delivered later.",
                error,
            )


class Untracked:
    """Stands in for the mirror of a run that is not tracked."""

    undelivered: str | None = None

    def wake(self) -> None:
        """Do nothing."""


@contextlib.contextmanager
def mirrored(
    run: RunDirectory, *, is_nested: bool = False, patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[BackgroundMirror | Untracked]:
    """Mirror a run directory while the block runs, if it has a link; yield the mirror.

    Args:
        run: The run directory.
        is_nested: Whether it is nested in a run that is mirrored too, which delivers what an
            outage leaves here, and waits and warns for both.
        patience_seconds: Longest wait for MLflow at the end; at most 5 s after a signal.
    """
    if read_link(run.tracking_path) is None:
        yield Untracked()
        return
    background = BackgroundMirror(Mirror(run, warns=not is_nested), is_nested=is_nested)
    background.wake()
    is_interrupted = False
    try:
        yield background
    except KeyboardInterrupt:
        is_interrupted = True
        raise
    finally:
        missing: str | None = "the delivery was interrupted"
        try:
            longest = _SHORT_WAIT_SECONDS if is_nested or is_interrupted else patience_seconds
            missing = background.close(
                seconds=min(patience_seconds, longest), is_interrupted=is_interrupted
            )
        finally:
            if missing and not is_nested:
                later = f" Send the rest later: `python -m pipeline sync --run_dir {run.path}`."
                _logger.warning(
                    "MLflow does not have all of this run (%s).%s",
                    missing,
                    later if run.path.exists() else "",
                )


@contextlib.contextmanager
def system_metrics(
    run_log: RunLog, *, enabled: bool, interval_seconds: float = 5.0
) -> Iterator[None]:
    """Sample this process and its machine while the block runs, and once at its end.

    The names begin with `system/`, which MLflow shows on a page of their own. A run that is
    resumed goes on with the number of the next sample.
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
    psutil.cpu_percent()  # the first reading is the baseline of the next
    step = sum(event.kind == SYSTEM_METRICS for event in read_events(run_log.path))
    is_last = False
    while not is_last:
        is_last = stop.wait(interval_seconds)
        memory = psutil.virtual_memory()
        metrics = {
            "system/cpu_utilization_percentage": psutil.cpu_percent(),
            "system/system_memory_usage_percentage": memory.percent,
            "system/process_memory_megabytes": process.memory_info().rss / 1e6,
        }
        run_log.log_system_metrics(metrics, step=step)
        step += 1
