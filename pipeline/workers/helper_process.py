"""Process that works in parallel with this process and does not import the main module.

`ProcessPool` uses `multiprocessing`, whose processes import the main module again. Therefore a
user's script without `if __name__ == "__main__"` would start a second time. A helper process also
works in such a script, in a notebook and in an interactive session.
"""

import contextlib
import importlib
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from multiprocessing.spawn import get_executable
from pathlib import Path
from typing import IO, Any, Final, cast

from pipeline.core.interrupts import end_with_parent_process, interrupt_handlers
from pipeline.core.standard_streams import open_closed_streams
from pipeline.workers.pool import TaskRunner, Work, WorkerEvent

_PROGRAM: Final = """
import sys
sys.path[:] = sys.argv[2:]
import pipeline
del sys.path[0]
from pipeline.workers.helper_process import serve
serve(sys.argv[1])
"""
_PACKAGE_PARENT: Final = str(Path(__file__).absolute().parents[2])
"""Directory from which a helper process imports this package.

`sys.path` may contain a relative path, which leads to another place in another working directory.
"""
_END_SECONDS: Final = 5.0
"""Maximum time to wait for the end of the current task when a helper process is closed."""

_Request = tuple[Any, ...]
"""Arguments of the set-up function, or a task, as the only item. An empty tuple ends the process.
"""


class HelperProcess:
    """Process that runs tasks one by one. It ends with this process.

    Args:
        setup: Set-up function of the process, as `MODULE:FUNCTION`; see `workers.pool.Setup`.
        arguments: Arguments of the set-up function.

    Raises:
        OSError: If the process cannot be started.
    """

    def __init__(self, setup: str, *arguments: Any) -> None:
        self._is_busy = False
        self._is_interrupted = False
        self._setup_event: WorkerEvent | None = None
        self._setup_lock = threading.Lock()
        self._process = subprocess.Popen(  # noqa: S603
            [os.fsdecode(get_executable()), "-c", _PROGRAM, setup, _PACKAGE_PARENT, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A notebook may have selected another backend of Matplotlib for its child processes.
            env={**os.environ, "MPLBACKEND": "agg"},
            start_new_session=True,  # signals of the terminal go only to this process
        )
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._replies = cast("IO[bytes]", self._process.stdout)
        self._send((arguments,))

    def wait_for_setup(self) -> WorkerEvent:
        """Wait for the end of the set-up. Return a `death` event if the process has ended."""
        with self._setup_lock:  # several threads may wait
            if self._setup_event is None:
                self._setup_event = self._receive()
            return self._setup_event

    def call(self, task: Any) -> WorkerEvent:
        """Run a task and wait for its end. Return a `death` event if the process has ended."""
        self.send(task)
        return self.receive()

    def send(self, task: Any) -> None:
        """Start a task, and do not wait for its end. The next call must be `receive`."""
        self._is_busy = True
        self._send((task,))

    def receive(self) -> WorkerEvent:
        """Wait for the end of the task. Return a `death` event if the process has ended."""
        if self.wait_for_setup().kind != "result":
            return WorkerEvent(kind="death", reason="the set-up of the helper process has failed")
        event = self._receive()
        self._is_busy = event.kind == "death"
        return event

    def interrupt(self) -> None:
        """Raise `KeyboardInterrupt` in a running task, so that it leaves no partial file."""
        if self._is_busy and not self._is_interrupted:
            self._is_interrupted = True  # a second interrupt could disturb the end of the task
            self._process.terminate()

    def kill(self) -> None:
        """End the process immediately. A running `call` in another thread then returns."""
        self._process.kill()

    def close(self) -> None:
        """End the process. A running task is interrupted and must end within 5 s."""
        try:
            self.interrupt()
            self._send(())
            with contextlib.suppress(OSError):
                self._requests.close()
            if self._is_busy:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_END_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._replies.close()

    def _send(self, request: _Request) -> None:
        with contextlib.suppress(OSError, ValueError):  # `_receive` reports an ended process
            self._requests.write(pickle.dumps(request))
            self._requests.flush()

    def _receive(self) -> WorkerEvent:
        try:
            event: WorkerEvent = pickle.load(self._replies)  # noqa: S301 - from our own process
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            return WorkerEvent(kind="death", reason="the helper process has ended")
        return event


def serve(setup: str) -> None:
    """Run the tasks from standard input until an end request. Called in a helper process.

    SIGTERM raises `KeyboardInterrupt` in a running task, and ends the process.
    """
    end_with_parent_process()
    open_closed_streams()
    requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()
    # If this process has lost its parent process, closing `replies` also raises an OSError.
    with (
        contextlib.suppress(OSError, KeyboardInterrupt),
        os.fdopen(os.dup(1), "wb") as replies,
    ):
        os.dup2(2, 1)  # printed text must not be mixed with the replies
        (arguments,) = requests.get()

        def set_up() -> Work:
            module, _, name = setup.partition(":")
            work: Work = getattr(importlib.import_module(module), name)(*arguments)
            return work

        def reply(event: WorkerEvent) -> None:
            replies.write(pickle.dumps(event))
            replies.flush()

        runner = TaskRunner(set_up)
        event = runner.set_up()
        with interrupt_handlers():
            reply(event)
            while event.kind == "result" and (request := requests.get()):
                reply(runner.run(*request))


def _read_requests(requests: queue.SimpleQueue[_Request]) -> None:
    """Add the requests to a queue. If the parent process ends, end this process immediately."""
    try:
        with os.fdopen(os.dup(0), "rb") as stream:
            while request := pickle.load(stream):  # noqa: S301 - from the main process
                requests.put(request)
        requests.put(())
        time.sleep(_END_SECONDS)
    finally:
        os._exit(1)
