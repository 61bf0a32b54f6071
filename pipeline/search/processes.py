"""Workers as processes of this machine: started once, replaced after many trials or a death."""

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from pipeline.search.pool import WorkerNews
from pipeline.search.worker import Ticket, Worker, serve, worker_name

TRIALS_PER_WORKER = 15
"""After so many a worker is replaced: TensorFlow keeps some 30 MB of every model."""

_PATIENCE_SECONDS = 20.0
"""How long a worker that was dismissed may take to end."""


class _Process:
    """One worker and the line to it."""

    def __init__(self, start: Callable[[], Worker]) -> None:
        # A fork would inherit TensorFlow's threads without the threads.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=serve, args=(theirs, start), daemon=True
        )
        self.process.start()
        theirs.close()  # so that its end is seen here when the process dies
        self.ticket: Ticket | None = None
        self.num_trials = 0

    @property
    def name(self) -> str:
        """As `worker_name` in that process."""
        return worker_name(self.process.pid)

    def give(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.num_trials += 1
        # It may just have died, which `wait` tells.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(ticket)

    def dismiss(self) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(None)


class ProcessPool:
    """Runs trials in processes of this machine.

    Args:
        start: Makes the worker, in its process.
        num_workers: Processes at a time.
    """

    def __init__(self, start: Callable[[], Worker], *, num_workers: int) -> None:
        self._start = start
        self._num_workers = num_workers
        self._workers: list[_Process] = []
        self._dismissed: list[_Process] = []

    @property
    def num_idle(self) -> int:
        """Tickets that can be submitted now; a worker is started when it is needed."""
        return self._num_workers - self.num_busy

    @property
    def num_busy(self) -> int:
        """Tickets that are being worked on."""
        return sum(1 for _ in self._busy())

    def submit(self, ticket: Ticket) -> None:
        """Give a ticket to an idle worker."""
        idle = next((worker for worker in self._workers if worker.ticket is None), None)
        if idle is None:
            idle = _Process(self._start)
            self._workers.append(idle)
        idle.give(ticket)

    def wait(self, timeout_seconds: float) -> list[WorkerNews]:
        """Return what has happened, as soon as something has."""
        lines = {worker.connection: worker for worker in self._workers}
        ready = wait(list(lines), timeout_seconds)
        return [self._read(lines[line]) for line in ready if isinstance(line, Connection)]

    def owns(self, worker: str) -> bool:
        """Whether a worker of this name lives here now."""
        return any(each.name == worker for each in (*self._workers, *self._dismissed))

    def interrupt(self) -> None:
        """End all trials now.

        The workers are killed: an exception raised from outside can surface in code that
        swallows it, and whatever a kill leaves behind has to be put in order anyway.
        """
        for worker in self._workers:
            worker.process.kill()
        self._join()

    def close(self) -> None:
        """End the workers, which are idle."""
        for worker in self._workers:
            worker.dismiss()
        self._join()

    def _busy(self) -> Iterator[_Process]:
        return (worker for worker in self._workers if worker.ticket is not None)

    def _read(self, worker: _Process) -> WorkerNews:
        ticket = worker.ticket
        try:
            end = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            self._workers.remove(worker)
            worker.process.join()
            return WorkerNews(ticket=ticket, end=None, worker=worker.name)
        worker.ticket = None
        if worker.num_trials >= TRIALS_PER_WORKER:
            worker.dismiss()
            self._workers.remove(worker)
            self._dismissed.append(worker)
        return WorkerNews(ticket=ticket, end=end, worker=worker.name)

    def _join(self) -> None:
        for worker in (*self._workers, *self._dismissed):
            worker.process.join(_PATIENCE_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()
        self._workers.clear()
        self._dismissed.clear()
