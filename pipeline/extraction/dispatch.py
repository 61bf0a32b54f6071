"""Distribute clips to workers, and show progress.

A clip fails if two workers die during its extraction, or if its extraction exceeds the time limit.
The extraction continues with the other clips. One worker runs all stages of a clip. Frames are not
sent to other workers, because they need about 900 times as much memory as features. The workers
read clips and write features, so all directories need the same paths on every node of a cluster.
"""

import functools
import signal
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import rich.console
import rich.progress

from pipeline.core.errors import ExtractionError
from pipeline.core.interrupts import check_interrupt
from pipeline.core.number_format import duration
from pipeline.core.progress_lines import ProgressLines
from pipeline.extraction.tasks import Job, Result, Stage, Task
from pipeline.extraction.worker import build_work
from pipeline.workers.pool import Engine, WorkerEvent, WorkerPool
from pipeline.workers.process_pool import ProcessPool
from pipeline.workers.ray_pool import RayPool

_SETUP_SECONDS: Final = 300.0
"""Maximum time until a worker is ready. Loading weights from a slow disk can take minutes."""
_MAX_TRIES: Final = 2
_WAIT_SECONDS: Final = 1.0


def run_tasks(
    job: Job, tasks: Sequence[Task], *, num_workers: int, engine: Engine
) -> Iterator[Result]:
    """Run all tasks and yield their results. If a worker dies, its task is repeated once.

    Raises:
        PipelineError: If a worker cannot be set up, or features cannot be written.
    """
    limit = job.config.time_limit_seconds
    setup = functools.partial(build_work, job)
    limits: dict[str, Any] = {"time_limit_seconds": limit, "setup_seconds": _SETUP_SECONDS}
    pool: WorkerPool
    if engine == "ray":
        pool = RayPool(setup, num_workers=num_workers, joins_local_cluster=True, **limits)
    else:
        pool = ProcessPool(setup, num_workers=num_workers, **limits)
    return run_on_pool(pool, tasks, time_limit_seconds=limit, engine=engine)


def run_on_pool(
    pool: WorkerPool, tasks: Sequence[Task], *, time_limit_seconds: float, engine: Engine
) -> Iterator[Result]:
    """Run all tasks on a pool, yield their results, and close the pool."""
    waiting = deque(tasks)
    num_tries: Counter[str] = Counter()
    try:
        while waiting or pool.num_busy:
            while waiting and pool.num_idle:
                pool.submit(waiting.popleft())
            for event in pool.wait(_WAIT_SECONDS):
                if event.kind == "setup_failed" or event.error is not None:
                    raise _fatal_error(event, engine)
                if event.kind == "result":
                    yield event.result
                elif event.kind == "timeout":
                    reason = f"took longer than time_limit_seconds={time_limit_seconds:g}"
                    yield _failure(event.task, "time", reason)
                elif event.kind == "error":
                    yield _failure(event.task, "crash", f"unexpected {event.reason}")
                elif event.task is not None:
                    num_tries[event.task.source.clip_id] += 1
                    if num_tries[event.task.source.clip_id] < _MAX_TRIES:
                        waiting.appendleft(event.task)
                    else:
                        reason = f"its worker died {_MAX_TRIES} times ({event.reason})"
                        yield _failure(event.task, "crash", reason)
            check_interrupt()
    finally:
        pool.close()


def _failure(task: Task, stage: Stage, reason: str) -> Result:
    return Result(clip_id=task.source.clip_id, stage=stage, reason=reason)


def _fatal_error(event: WorkerEvent, engine: Engine) -> Exception:
    if event.error is not None:
        return event.error
    if event.exit_code == -signal.SIGKILL:
        return ExtractionError(
            "a worker was killed during its set-up. Each worker needs about 1.5 GB of memory. "
            "Give a smaller --num_workers."
        )
    message = f"a worker cannot be set up ({event.reason})"
    # For local workers, the cause is an internal error. On a cluster, it is usually a faulty node.
    return ExtractionError(f"{message}.") if engine == "ray" else RuntimeError(message)


def show_progress(
    results: Iterable[Result], num_clips: int, console: rich.console.Console | None = None
) -> Iterator[Result]:
    """Yield the results, and show the progress on a console.

    The default console is stderr. If it is not a terminal, a line is printed every ten seconds.
    """
    console = console or rich.console.Console(stderr=True)
    bar = rich.progress.Progress(
        rich.progress.TextColumn("clip {task.completed:.0f}/{task.total:.0f}"),
        rich.progress.BarColumn(),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TextColumn("left"),
        rich.progress.TimeRemainingColumn(),
        rich.progress.TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    )
    lines = ProgressLines(console)
    began = time.monotonic()
    num_failed = 0
    with bar:
        task = bar.add_task("clips", total=num_clips, note="")
        for num_done, result in enumerate(results, start=1):
            num_failed += not result.is_done
            passed = time.monotonic() - began
            note = f"{num_done / max(1e-9, passed):.2f} clips/s"
            note += f"  {num_failed} failed" if num_failed else ""
            bar.update(task, completed=num_done, note=note)
            left = duration(passed / num_done * (num_clips - num_done))
            lines.show(f"clip {num_done}/{num_clips}  {note}  about {left} left")
            yield result
