"""Worker processes, each with one clip in hand: one that dies or hangs costs only its clip.

`concurrent.futures` does not tell which task broke a pool, and cannot end a single worker;
here the parent knows what each worker holds, and talks to it over a pipe of its own.
"""

import contextlib
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from pipeline.core.errors import ExtractionError, PipelineError
from pipeline.core.interrupts import check_interrupt, end_with_leader
from pipeline.core.standard_streams import open_closed_streams
from pipeline.extraction.worker import Job, Result, Task, build_work

_START_SECONDS: Final = 300.0
"""Longest that a worker may take to load what it needs; networks are read from slow disks."""

_MAX_TRIES: Final = 2
"""How often a clip is tried whose worker dies."""

_READY: Final = "ready"


@dataclass(kw_only=True)
class _Worker:
    """A process, the pipe to it, and the clip that it holds."""

    process: Any
    pipe: Connection
    task: Task | None = None
    deadline: float = field(default_factory=lambda: time.monotonic() + _START_SECONDS)
    is_ready: bool = False

    def give(self, task: Task, limit_seconds: float) -> None:
        self.task = task
        self.deadline = time.monotonic() + limit_seconds
        with contextlib.suppress(OSError):  # it has just died: the end of its pipe says so
            self.pipe.send(task)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class WorkerPool:
    """Does clips in spawned processes.

    Args:
        job: What the workers share.
        num_workers: Number of processes.
        build: Returns what does one clip; called once in each process.
    """

    def __init__(
        self,
        job: Job,
        *,
        num_workers: int,
        build: Callable[[Job], Callable[[Task], Result]] = build_work,
    ) -> None:
        self._job = job
        self._build = build
        self._num_workers = num_workers
        self._workers: list[_Worker] = []
        self._tries: dict[str, int] = {}

    def run(self, tasks: Sequence[Task]) -> Iterator[Result]:
        """Do all tasks; yield each result as it comes.

        Raises:
            PipelineError: If a worker cannot be set up, for instance as weights are missing.
        """
        waiting = deque(tasks)
        try:
            while waiting or any(worker.task for worker in self._workers):
                self._start(min(self._num_workers, len(waiting) + self._num_busy))
                for worker in self._workers:
                    if waiting and worker.is_ready and worker.task is None:
                        worker.give(waiting.popleft(), self._job.config.time_limit_seconds)
                yield from self._next_results(waiting)
                check_interrupt()
        finally:
            for worker in self._workers:
                worker.end()
            self._workers.clear()

    @property
    def _num_busy(self) -> int:
        return sum(worker.task is not None for worker in self._workers)

    def _start(self, num_workers: int) -> None:
        context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
        while len(self._workers) < num_workers:
            pipe, end_of_worker = context.Pipe()
            process = context.Process(
                target=_serve, args=(end_of_worker, self._job, self._build), daemon=True
            )
            process.start()
            end_of_worker.close()  # so that the death of the worker ends the pipe
            self._workers.append(_Worker(process=process, pipe=pipe))

    def _next_results(self, waiting: deque[Task]) -> Iterator[Result]:
        """Wait for a message, a death or a deadline; yield what clips have come to."""
        first_deadline = min(
            worker.deadline for worker in self._workers if worker.task or not worker.is_ready
        )
        spoken = wait(
            [worker.pipe for worker in self._workers],
            timeout=max(0.0, first_deadline - time.monotonic()),
        )
        for worker in list(self._workers):
            if worker.pipe in spoken:
                yield from self._hear(worker, waiting)
            elif time.monotonic() >= worker.deadline and (worker.task or not worker.is_ready):
                yield from self._give_up(worker)

    def _hear(self, worker: _Worker, waiting: deque[Task]) -> Iterator[Result]:
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            yield from self._bury(worker, waiting)
            return
        if isinstance(message, PipelineError):
            raise message
        if message == _READY:
            worker.is_ready = True
        else:
            worker.task = None
            yield message

    def _bury(self, worker: _Worker, waiting: deque[Task]) -> Iterator[Result]:
        """Take a dead worker away; its clip is tried once more."""
        task = worker.task
        worker.end()
        self._workers.remove(worker)
        how = f"exit code {worker.process.exitcode}"
        if task is None:
            if worker.is_ready:
                return
            if worker.process.exitcode == -signal.SIGKILL:
                raise ExtractionError(
                    "a worker was killed while it was set up. Each needs about 1.5 GB of memory: "
                    "give a smaller --num_workers."
                )
            raise RuntimeError(f"a worker died while it was set up ({how})")
        clip_id = task.source.clip_id
        self._tries[clip_id] = self._tries.get(clip_id, 0) + 1
        if self._tries[clip_id] < _MAX_TRIES:
            waiting.appendleft(task)
        else:
            reason = f"its worker died {_MAX_TRIES} times ({how})"
            yield Result(clip_id=clip_id, stage="crash", reason=reason)

    def _give_up(self, worker: _Worker) -> Iterator[Result]:
        """End a worker that is out of time, and with it its clip."""
        task = worker.task
        worker.end()
        self._workers.remove(worker)
        if task is None:
            raise RuntimeError(f"a worker was not ready after {_START_SECONDS:.0f} s")
        limit = self._job.config.time_limit_seconds
        reason = f"took longer than time_limit_seconds={limit:g}"
        yield Result(clip_id=task.source.clip_id, stage="time", reason=reason)


def _serve(pipe: Connection, job: Job, build: Callable[[Job], Callable[[Task], Result]]) -> None:
    """Be a worker: say when ready, then answer each clip, until the parent is gone."""
    end_with_leader()
    open_closed_streams()
    try:
        work = _build(build, job)
        pipe.send(_READY)
        while True:
            pipe.send(work(pipe.recv()))
    except PipelineError as error:  # not the fault of one clip
        with contextlib.suppress(OSError):
            pipe.send(error)
    except (EOFError, OSError):  # the parent is gone
        return


def _build(build: Callable[[Job], Callable[[Task], Result]], job: Job) -> Callable[[Task], Result]:
    try:
        return build(job)
    except PipelineError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ExtractionError(f"a worker cannot be set up ({reason}).") from error
