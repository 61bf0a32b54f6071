"""Worker pool of processes on this machine."""

import contextlib
import multiprocessing
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from pipeline.core.interrupts import end_with_parent_process
from pipeline.core.standard_streams import open_closed_streams
from pipeline.workers.pool import Setup, TaskRunner, WorkerEvent, WorkerHandle, WorkerPool

_END_SECONDS: Final = 20.0
"""Maximum time to wait for the end of a process after its pipe has closed."""


class _Process(WorkerHandle):
    def __init__(self, setup: Setup) -> None:
        super().__init__()
        context = multiprocessing.get_context("spawn")  # TensorFlow fails after a fork
        self.pipe, other_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(other_end, setup), daemon=True)
        self._process.start()
        other_end.close()  # otherwise the pipe would stay open after the process ends

    def send(self, task: Any) -> None:
        with contextlib.suppress(OSError):  # `receive` reports a dead process
            self.pipe.send(task)

    def receive(self) -> WorkerEvent:
        try:
            event: WorkerEvent = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join(_END_SECONDS)
            code = self._process.exitcode
            return WorkerEvent(kind="death", reason=f"exit code {code}", exit_code=code)
        return event

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()


class ProcessPool(WorkerPool):
    """Pool of processes on this machine. The processes end with their parent process."""

    def _start(self) -> _Process:
        return _Process(self._setup)

    def _receive(self, timeout_seconds: float) -> list[tuple[_Process, WorkerEvent]]:
        by_pipe: dict[Any, _Process] = {worker.pipe: worker for worker in self._workers}
        ready = wait(list(by_pipe), timeout_seconds)
        return [(by_pipe[pipe], by_pipe[pipe].receive()) for pipe in ready]


def _serve(pipe: Connection, setup: Setup) -> None:
    end_with_parent_process()
    open_closed_streams()
    runner = TaskRunner(setup)
    with contextlib.suppress(EOFError, OSError):  # the parent process has ended
        event = runner.set_up()
        pipe.send(event)
        while event.kind == "result":
            pipe.send(runner.run(pipe.recv()))
