"""Set-up functions and tasks that fail, for tests of worker pools. Workers import them."""

import functools
import os
import time
from pathlib import Path

from pipeline.core.errors import WorkerError


def set_up(*folders):
    """Return the function that does the tasks. A task `waits` shows its end in a folder."""
    if folders:
        return functools.partial(wait, Path(folders[0]))
    return work


def wait(folder, task):
    """Write a file at the begin of a task, and another one if the task is interrupted."""
    (folder / f"{task} begins").touch()
    try:
        time.sleep(600)
    finally:
        (folder / f"{task} ends").touch()


def work(task):
    kind = task.partition("-")[0]
    if kind == "dies":
        os._exit(3)
    if kind == "hangs":
        time.sleep(600)
    if kind == "slow":
        time.sleep(2)
    if kind == "full":
        raise WorkerError("no space left")
    if kind == "bug":
        raise ZeroDivisionError("by\nzero")
    if kind == "noise":
        os.write(1, b"text that a library prints")
    if kind == "pid":
        return os.getpid()
    if kind == "gpus":
        return os.environ.get("CUDA_VISIBLE_DEVICES", "all")
    return f"{task} done"


def set_up_without_weights():
    raise WorkerError("weights are missing")


def set_up_with_bug():
    raise ValueError("Key backend: 'module://x'\nis not a valid value")


def set_up_and_die():
    os._exit(7)


def set_up_forever():
    time.sleep(600)


def run(pool, *tasks):
    """Run tasks on a pool until all have ended or a set-up failed; return the events."""
    waiting, events = list(tasks), []
    while (waiting or pool.num_busy) and not any(each.kind == "setup_failed" for each in events):
        while waiting and pool.num_idle:
            pool.submit(waiting.pop(0))
        events += pool.wait(1.0)
    return events
