"""The same workers as actors of Ray, on one machine or on many.

Decoding, faces, flow and encoding stay together in one actor: to pass frames between actors
would move about 900 times the bytes of the features. Each actor writes the files of its
clips, so videos and `features_dir` must lie where every machine sees them, by the same path.
"""

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.core.errors import ExtractionError
from pipeline.core.install_hint import install_command
from pipeline.core.interrupts import check_interrupt, kept_handlers
from pipeline.extraction.worker import Job, Result, Task, build_work

_MAX_TRIES: Final = 2
_SETUP_SECONDS: Final = 300.0
_LOOK_SECONDS: Final = 1.0


class _Actor:
    """What a Ray worker holds: the detector and the encoders, loaded once."""

    def __init__(self, job: Job) -> None:
        self._work = build_work(job)

    def do(self, task: Task) -> Result:
        return self._work(task)


@dataclass(frozen=True, kw_only=True)
class _Held:
    """A clip that an actor has in hand."""

    actor: Any
    task: Task
    deadline: float


def run_on_ray(
    job: Job, tasks: Sequence[Task], *, num_workers: int, actor_class: type = _Actor
) -> Iterator[Result]:
    """Do all tasks on the cluster that `RAY_ADDRESS` names, or on one of this machine.

    Args:
        job: What the actors share.
        tasks: Clips to be done.
        num_workers: Number of actors, one processor each.
        actor_class: What does the clips.

    Raises:
        PipelineError: If Ray is missing, or an actor cannot be set up.
    """
    ray = _import_ray()
    if not ray.is_initialized():
        with kept_handlers():
            ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
    crew = _Crew(ray, job, actor_class)
    try:
        yield from crew.run(tasks, num_workers=num_workers)
    finally:
        crew.end()


class _Crew:
    """Actors, the clips that they hold, and those that wait."""

    def __init__(self, ray: Any, job: Job, actor_class: type) -> None:
        # Actors import this package, which need not be installed.
        path = {"env_vars": {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}}
        self._ray = ray
        self._job = job
        self._class = ray.remote(num_cpus=1, max_restarts=0, runtime_env=path)(actor_class)
        self._starting: dict[Any, Any] = {}
        self._idle: list[Any] = []
        self._held: dict[Any, _Held] = {}
        self._waiting: deque[Task] = deque()
        self._tries: Counter[Path] = Counter()
        self._none_since = time.monotonic()

    def run(self, tasks: Sequence[Task], *, num_workers: int) -> Iterator[Result]:
        """Do all tasks; yield each result as it comes."""
        self._waiting.extend(tasks)
        for _ in range(min(num_workers, len(tasks))):
            self._start()
        while self._waiting or self._held:
            self._hand_out()
            self._refuse_full_cluster()
            check_interrupt()
            done, _ = self._ray.wait([*self._held, *self._starting], timeout=_LOOK_SECONDS)
            for reference in done:
                if reference in self._starting:
                    self._welcome(reference)
                else:
                    yield from self._take(reference)
            late = [each for each, held in self._held.items() if time.monotonic() >= held.deadline]
            for reference in late:
                yield self._give_up(reference)

    def end(self) -> None:
        """End all actors."""
        held = [each.actor for each in self._held.values()]
        for actor in [*self._starting.values(), *self._idle, *held]:
            self._ray.kill(actor)

    def _start(self) -> None:
        """Ask for an actor: it may have to wait for a processor, and no clip waits with it."""
        actor = self._class.remote(self._job)
        self._starting[actor.__ray_ready__.remote()] = actor

    def _welcome(self, reference: Any) -> None:
        """Take on an actor that is set up, or say why it is not: another would do no better."""
        actor = self._starting.pop(reference)
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise ExtractionError(f"a Ray actor cannot be set up: {lines[-1]}") from error
        self._idle.append(actor)

    def _refuse_full_cluster(self) -> None:
        if self._held:
            self._none_since = time.monotonic()
        elif time.monotonic() - self._none_since > _SETUP_SECONDS:
            raise ExtractionError(
                f"no Ray actor was ready after {_SETUP_SECONDS:.0f} s. Each needs a free processor "
                "of the cluster: `ray status` shows who holds them."
            )

    def _hand_out(self) -> None:
        while self._waiting and self._idle:
            actor, task = self._idle.pop(), self._waiting.popleft()
            deadline = time.monotonic() + self._job.config.time_limit_seconds
            self._held[actor.do.remote(task)] = _Held(actor=actor, task=task, deadline=deadline)

    def _take(self, reference: Any) -> Iterator[Result]:
        """Take what a clip has come to; one whose actor died is tried once more."""
        held = self._held.pop(reference)
        try:
            result = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error  # not the fault of one clip, for instance a full disk
        except self._ray.exceptions.RayError:
            self._ray.kill(held.actor)  # it may have been lost rather than died
            self._start()
            self._tries[held.task.path] += 1
            if self._tries[held.task.path] < _MAX_TRIES:
                self._waiting.appendleft(held.task)
            else:
                reason = f"its worker died {_MAX_TRIES} times"
                yield Result(clip_id=held.task.source.clip_id, stage="crash", reason=reason)
            return
        self._idle.append(held.actor)
        yield result

    def _give_up(self, reference: Any) -> Result:
        """End an actor that is out of time, and with it its clip."""
        held = self._held.pop(reference)
        self._ray.kill(held.actor)
        self._start()
        limit = self._job.config.time_limit_seconds
        reason = f"took longer than time_limit_seconds={limit:g}"
        return Result(clip_id=held.task.source.clip_id, stage="time", reason=reason)


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ExtractionError(
            f"--engine ray needs the extra `ray`: {install_command('ray', 'video')}"
        ) from error
    return ray
