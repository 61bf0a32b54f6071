"""Workers that die, hang or refuse, by the name of the clip they are given."""

import os
import signal
import time
from pathlib import Path

from pipeline.core.errors import ExtractionError
from pipeline.extraction.worker import Result


def build_odd_work(job):
    del job

    def work(task):
        kind, _, _ = task.source.clip_id.partition("-")
        first_time = not task.path.exists()
        task.path.touch()
        if kind == "dies" or (kind == "stumbles" and first_time):
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hangs":
            time.sleep(600)
        if kind == "full":
            raise ExtractionError("no space left")
        return Result(clip_id=task.source.clip_id, seconds=float(os.getpid()))

    return work


def refuse_to_build(job):
    raise ExtractionError(f"weights are missing for {job.config.static.encoder}")


def fail_to_build(job):
    del job
    raise ValueError("Key backend: 'module://x'\nis not a valid value")


def die_while_building(job):
    del job
    os._exit(7)


def be_killed_while_building(job):
    del job
    os.kill(os.getpid(), signal.SIGKILL)


def build_interrupted_work(job):
    """Interrupt the parent, as Ctrl-C does to the whole group."""

    def work(task):
        Path(task.path).touch()
        if task.source.clip_id == "good-1":  # a second one would interrupt the tidying up
            os.kill(os.getppid(), signal.SIGINT)
        time.sleep(600)
        return Result(clip_id=str(job))

    return work
