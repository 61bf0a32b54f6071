"""A clip whose worker dies or hangs fails alone; other errors end the extraction."""

import signal
from dataclasses import replace

import pytest

from pipeline.core.errors import ExtractionError
from pipeline.extraction.dispatch import run_on_pool
from pipeline.extraction.sources import ClipSource
from pipeline.extraction.worker import Result, Task
from pipeline.workers.pool import WorkerEvent

DONE = WorkerEvent(kind="result")
DEATH = WorkerEvent(kind="death", reason="exit code -9")
SETUP = WorkerEvent(kind="setup_failed")


class ScriptedPool:
    """A pool with one worker, whose events are given."""

    def __init__(self, *events):
        self._events = list(events)
        self._task = None
        self.is_closed = False

    @property
    def num_busy(self):
        return int(self._task is not None)

    @property
    def num_idle(self):
        return 1 - self.num_busy

    def submit(self, task):
        self._task = task

    def wait(self, timeout_seconds):
        event, task = self._events.pop(0), self._task
        self._task = None
        if event is DONE:
            event = replace(event, result=Result(clip_id=task.source.clip_id))
        return [replace(event, task=task)]

    def close(self):
        self.is_closed = True


def run(pool, tmp_path, *names):
    tasks = [
        Task(source=ClipSource(clip_id=name), path=tmp_path / name, made_with="", with_strip=False)
        for name in names
    ]
    return list(run_on_pool(pool, tasks, time_limit_seconds=2.0))


@pytest.mark.parametrize(
    ("events", "stage", "reason"),
    [
        ([DEATH, DONE], "", ""),
        ([DEATH, DEATH], "crash", "its worker died 2 times (exit code -9)"),
        ([WorkerEvent(kind="timeout")], "time", "took longer than time_limit_seconds=2"),
    ],
)
def test_a_clip_that_ends_its_worker_costs_no_other_clip(tmp_path, events, stage, reason):
    pool = ScriptedPool(DONE, *events, DONE)
    assert run(pool, tmp_path, "a", "b", "c") == [
        Result(clip_id="a"),
        Result(clip_id="b", stage=stage, reason=reason),
        Result(clip_id="c"),
    ]
    assert pool.is_closed


@pytest.mark.parametrize(
    ("event", "error", "message"),
    [
        (replace(SETUP, error=ExtractionError("no weights")), ExtractionError, "^no weights$"),
        (replace(SETUP, reason="KeyError: 1"), ExtractionError, r"set up \(KeyError: 1\)"),
        (replace(SETUP, exit_code=-signal.SIGKILL), ExtractionError, "smaller --num_workers"),
        (replace(SETUP, exit_code=7, reason="exit code 7"), RuntimeError, "exit code 7"),
        (WorkerEvent(kind="error", error=ExtractionError("full")), ExtractionError, "^full$"),
        (WorkerEvent(kind="error", reason="ValueError: x"), RuntimeError, "ValueError: x"),
    ],
)
def test_an_error_that_no_other_clip_would_escape_ends_the_extraction(
    tmp_path, event, error, message
):
    pool = ScriptedPool(event)
    with pytest.raises(error, match=message):
        run(pool, tmp_path, "a")
    assert pool.is_closed


def test_no_clip_needs_no_worker(tmp_path):
    assert run(ScriptedPool(), tmp_path) == []
