"""Signals that end a command, and worker processes that end with their parent process."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

_GROUP_SIGNALS: Final = ("SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
"""Signals that a terminal or a batch system sends to a whole process group."""

_SIGNALS: Final = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGXCPU", *_GROUP_SIGNALS)
    if hasattr(signal, name)  # Windows does not have all signals
)

_SAME_REQUEST_SECONDS: Final = 1.0
"""Two signals within this interval are one request: the terminal and `mlflow run` each send one."""


class _Request:
    """The last signal that requested the end of this process."""

    signal_number: int | None = None
    time: float = 0.0


@contextlib.contextmanager
def interrupt_handlers() -> Iterator[None]:
    """Raise `KeyboardInterrupt` for each signal that requests the end of this process.

    Ignored signals stay ignored: `nohup` ignores SIGHUP, and a shell ignores SIGINT for
    background jobs. Python may drop the exception. In this case, `check_interrupt` raises it again.
    """
    report, show = sys.unraisablehook, sys.excepthook
    sys.unraisablehook = lambda lost: None if lost.exc_type is KeyboardInterrupt else report(lost)
    # TensorFlow's native code calls this hook to print interrupts that it cannot raise.
    sys.excepthook = lambda *error: show(*error) if _Request.signal_number is None else None
    try:
        with kept_handlers():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, _interrupt)
            yield
    finally:
        _Request.signal_number = None
        sys.unraisablehook, sys.excepthook = report, show


@contextlib.contextmanager
def kept_handlers() -> Iterator[None]:
    """Restore the previous signal handlers after the block. `ray.init` replaces these handlers."""
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            # Only the main thread may set a handler. Unchanged handlers are not set again, so that
            # this function also works in other threads.
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def check_interrupt() -> None:
    """Raise `KeyboardInterrupt` if a signal has arrived and Python has dropped its exception.

    Python drops the exception of a signal handler that runs in a destructor or in a callback from
    native code.
    """
    if _Request.signal_number is not None:
        raise KeyboardInterrupt


@contextlib.contextmanager
def interrupts_restored() -> Iterator[None]:
    """Raise `KeyboardInterrupt` instead of an error that a dropped interrupt has caused.

    While TensorFlow traces a function, it drops the exception of a signal handler. The tracing
    then fails with another error, for instance about a missing value.
    """
    try:
        yield
    except Exception:
        check_interrupt()
        raise


def interrupt_status() -> int:
    """Return the exit status of an interrupted command: 128 plus the signal number."""
    return 128 + (_Request.signal_number or signal.SIGINT)


def end_with_parent_process() -> None:
    """End this worker process when its parent process ends, even if SIGKILL ends the parent.

    The worker ignores signals to the process group, because the parent process handles them.
    SIGTERM still ends the worker, because the parent process sends SIGTERM to its workers.
    """
    for name in _GROUP_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(process: Any) -> None:
    process.join()
    os._exit(1)


def _interrupt(signal_number: int, frame: Any) -> None:
    del frame
    now = time.monotonic()
    is_repeated = _Request.signal_number is not None and now - _Request.time < _SAME_REQUEST_SECONDS
    if not is_repeated:
        _Request.signal_number = signal_number
        _Request.time = now
        raise KeyboardInterrupt
