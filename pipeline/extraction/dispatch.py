"""Hand clips to workers. A clip whose worker dies or hangs fails; the other clips go on.

Decoding, faces, flow and encoding of a clip stay in one worker: frames are about 900 times as
large as the features. Each worker writes the files of its clips, so on a Ray cluster videos and
`features_dir` must have the same paths on every machine.
"""

import functools
import signal
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

from pipeline.core.errors import ExtractionError
from pipeline.core.interrupts import check_interrupt
from pipeline.extraction.worker import Job, Result, Task, build_work
from pipeline.workers.pool import WorkerEvent, WorkerPool
from pipeline.workers.process_pool import ProcessPool
from pipeline.workers.ray_pool import RayPool

Engine = Literal["local", "ray"]

_SETUP_SECONDS: Final = 300.0
"""Longest set-up of the first worker; weights of networks may be on a slow disk."""
_MAX_TRIES: Final = 2
_WAIT_SECONDS: Final = 1.0


def run_tasks(
    job: Job, tasks: Sequence[Task], *, num_workers: int, engine: Engine
) -> Iterator[Result]:
    """Do all tasks; yield each result when it is there.

    A clip whose worker dies is tried once more.

    Args:
        job: Settings that the workers share.
        tasks: Clips to do.
        num_workers: Workers at a time, each with one processor.
        engine: Processes of this machine, or Ray actors.

    Raises:
        PipelineError: If a worker cannot be set up, or features cannot be written.
    """
    pool_class = RayPool if engine == "ray" else ProcessPool
    pool = pool_class(
        functools.partial(build_work, job),
        num_workers=num_workers,
        time_limit_seconds=job.config.time_limit_seconds,
        setup_seconds=_SETUP_SECONDS,
    )
    return run_on_pool(pool, tasks, time_limit_seconds=job.config.time_limit_seconds)


def run_on_pool(
    pool: WorkerPool, tasks: Sequence[Task], *, time_limit_seconds: float
) -> Iterator[Result]:
    """Do all tasks on a pool, and end the pool; yield each result when it is there."""
    waiting = deque(tasks)
    num_tries: Counter[str] = Counter()
    try:
        while waiting or pool.num_busy:
            while waiting and pool.num_idle:
                pool.submit(waiting.popleft())
            for event in pool.wait(_WAIT_SECONDS):
                match event.kind:
                    case "result":
                        yield event.result
                    case "timeout":
                        reason = f"took longer than time_limit_seconds={time_limit_seconds:g}"
                        yield _failure(event.task, "time", reason)
                    case "death" if event.task is not None:
                        clip_id = event.task.source.clip_id
                        num_tries[clip_id] += 1
                        if num_tries[clip_id] < _MAX_TRIES:
                            waiting.appendleft(event.task)
                        else:
                            reason = f"its worker died {_MAX_TRIES} times ({event.reason})"
                            yield _failure(event.task, "crash", reason)
                    case "error" | "setup_failed":
                        raise _fatal_error(event)  # every other clip would fail, too
            check_interrupt()
    finally:
        pool.close()


def _failure(task: Any, stage: str, reason: str) -> Result:
    return Result(clip_id=task.source.clip_id, stage=stage, reason=reason)


def _fatal_error(event: WorkerEvent) -> Exception:
    if event.error is not None:
        return event.error
    if event.exit_code == -signal.SIGKILL:
        return ExtractionError(
            "a worker was killed during its set-up. Each needs about 1.5 GB of memory: give a "
            "smaller --num_workers."
        )
    if event.kind == "error" or event.exit_code is not None:
        return RuntimeError(f"a worker failed ({event.reason})")
    return ExtractionError(f"a worker cannot be set up ({event.reason}).")
