"""Mirrors a run while it trains, in a thread: no store, slow or gone, holds up training."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

from pipeline.core.run_directory import RunDirectory
from pipeline.tracking.link import read_link
from pipeline.tracking.mirror import Mirror, StoreUnavailableError

_logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 120.0


class BackgroundMirror:
    """Runs a mirror in a thread, so that no store, slow or gone, holds up training.

    Args:
        mirror: What delivers.
        patience_seconds: How long `close` tries again when the store is not there.
        retry_seconds: Pause before the next try; while the run goes on it doubles each time.
        rest_seconds: Pause after a delivery: epochs of a fraction of a second go together.
    """

    def __init__(
        self,
        mirror: Mirror,
        *,
        patience_seconds: float = _PATIENCE_SECONDS,
        retry_seconds: float = 2.0,
        rest_seconds: float = 1.0,
    ) -> None:
        self._mirror = mirror
        self._patience_seconds = patience_seconds
        self._retry_seconds = retry_seconds
        self._rest_seconds = rest_seconds
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._warned = False
        self._thread = threading.Thread(target=self._loop, name="mlflow-mirror", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that the journal has grown."""
        self._wake.set()

    def close(self) -> str | None:
        """Deliver the rest; return None, or why something is left for `sync`."""
        self._closing.set()
        self._wake.set()
        self._thread.join()
        deadline = time.monotonic() + self._patience_seconds
        while True:
            try:
                self._mirror.deliver()
            except StoreUnavailableError as error:
                if time.monotonic() > deadline:
                    return str(error)
                time.sleep(self._retry_seconds)
            else:
                return None

    def _loop(self) -> None:
        pause = self._retry_seconds
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            if self._closing.is_set():
                return
            try:
                self._mirror.deliver()
                pause = self._retry_seconds
                self._closing.wait(self._rest_seconds)
            except StoreUnavailableError as error:
                self._warn(error)
                self._closing.wait(pause)
                self._wake.set()
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _warn(self, error: StoreUnavailableError) -> None:
        if not self._warned:
            self._warned = True
            _logger.warning(
                "MLflow cannot be reached (%s). The run goes on; its journal keeps "
                "everything and is delivered when MLflow is back.",
                error,
            )


@contextlib.contextmanager
def mirrored(run: RunDirectory, *, is_nested: bool = False) -> Iterator[Callable[[], None]]:
    """Mirror a run directory while the block runs; yield the function that wakes the mirror.

    Args:
        run: The run directory; nothing is mirrored where it has no link.
        is_nested: Whether it is nested in a run that is mirrored too, which delivers what an
            outage leaves here, and waits and warns for both.
    """
    if read_link(run.tracking_path) is None:
        yield lambda: None
        return
    background = BackgroundMirror(
        Mirror(run), patience_seconds=0.0 if is_nested else _PATIENCE_SECONDS
    )
    background.wake()
    try:
        yield background.wake
    finally:
        missing = background.close()
        if missing and not is_nested:
            _logger.warning(
                "MLflow does not have all of this run (%s). When it is back: "
                "`python -m pipeline sync --run_dir %s`.",
                missing,
                run.path,
            )
