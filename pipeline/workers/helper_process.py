"""Process that works in parallel with this process and does not import the main module.

`ProcessPool` uses `multiprocessing`, whose processes import the main module again. Therefore a
user's script without `if __name__ == "__main__"` would start a second time. A helper process also
works in such a script, in a notebook and in an interactive session.
"""

import contextlib
import importlib
import os
import pickle
import subprocess
import sys
from multiprocessing.spawn import get_executable
from typing import IO, Any, Final, cast

from pipeline.core.interrupts import end_with_parent_process
from pipeline.core.standard_streams import open_closed_streams
from pipeline.workers.pool import TaskRunner, Work, WorkerEvent

_PROGRAM: Final = """
import sys
sys.path[:] = sys.argv[2:]
from pipeline.workers.helper_process import serve
serve(sys.argv[1])
"""
_END_SECONDS: Final = 5.0
"""Maximum time to wait for the end of the current task when a helper process is closed."""


class HelperProcess:
    """Process that runs tasks one by one. It ends with this process.

    Args:
        setup: Set-up function of the process, as `MODULE:FUNCTION`; see `workers.pool.Setup`.

    Raises:
        OSError: If the process cannot be started.
    """

    def __init__(self, setup: str) -> None:
        self._is_busy = False
        self._process = subprocess.Popen(  # noqa: S603
            [os.fsdecode(get_executable()), "-c", _PROGRAM, setup, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A notebook may have selected another backend of Matplotlib for its child processes.
            env={**os.environ, "MPLBACKEND": "agg"},
            start_new_session=True,  # signals of the terminal go only to this process
        )
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._replies = cast("IO[bytes]", self._process.stdout)

    def call(self, task: Any) -> WorkerEvent:
        """Run a task and wait for its end. Return a `death` event if the process has ended."""
        self.send(task)
        return self.receive()

    def send(self, task: Any) -> None:
        """Start a task, and do not wait for its end. The next call must be `receive`."""
        self._is_busy = True
        with contextlib.suppress(OSError, ValueError):  # `receive` reports that the process ended
            self._requests.write(pickle.dumps(task))
            self._requests.flush()

    def receive(self) -> WorkerEvent:
        """Wait for the end of the task. Return a `death` event if the process has ended."""
        try:
            event: WorkerEvent = pickle.load(self._replies)  # noqa: S301 - from our own process
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            return WorkerEvent(kind="death", reason="the helper process has ended")
        self._is_busy = False
        return event

    def kill(self) -> None:
        """End the process immediately. A running `call` in another thread then returns."""
        self._process.kill()

    def close(self) -> None:
        """End the process. A running task may end within 5 s, so that it leaves no partial file."""
        with contextlib.suppress(OSError):
            self._requests.close()
        if self._is_busy:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
        self._process.kill()
        self._process.wait()
        self._replies.close()


def serve(setup: str) -> None:
    """Run the tasks from standard input until this pipe is closed. Called in a helper process."""
    end_with_parent_process()
    open_closed_streams()
    # If this process has lost its parent process, closing `replies` also raises an OSError.
    with contextlib.suppress(EOFError, OSError), os.fdopen(os.dup(1), "wb") as replies:
        os.dup2(2, 1)  # printed text must not be mixed with the replies

        def set_up() -> Work:
            module, _, name = setup.partition(":")
            work: Work = getattr(importlib.import_module(module), name)()
            return work

        runner = TaskRunner(set_up)
        if runner.set_up().kind != "result":
            return
        while True:
            event = runner.run(pickle.load(sys.stdin.buffer))  # noqa: S301 - from the main process
            replies.write(pickle.dumps(event))
            replies.flush()
