"""If a worker dies or hangs, only its clip fails. A failed set-up ends the extraction."""

import io
import signal
from dataclasses import replace

import pytest
import rich.console

from pipeline.core import progress_lines
from pipeline.core.errors import ExtractionError
from pipeline.extraction.dispatch import run_on_pool, show_progress
from pipeline.extraction.tasks import ClipSource, Result, Task
from pipeline.workers.pool import WorkerEvent

DONE = WorkerEvent(kind="result")
DEATH = WorkerEvent(kind="death", reason="exit code -9")
SETUP = WorkerEvent(kind="setup_failed")
FULL = ExtractionError("full")


class ScriptedPool:
    """Fake pool with one worker and given events."""

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


def run(pool, tmp_path, *names, engine="local"):
    tasks = [
        Task(source=ClipSource(clip_id=name), path=tmp_path / name, fingerprint="")
        for name in names
    ]
    return list(run_on_pool(pool, tasks, time_limit_seconds=2.0, engine=engine))


@pytest.mark.parametrize(
    ("events", "stage", "reason"),
    [
        ([DEATH, DONE], "", ""),
        ([DEATH, DEATH], "crash", "its worker died 2 times (exit code -9)"),
        ([WorkerEvent(kind="timeout")], "time", "took longer than time_limit_seconds=2"),
        ([WorkerEvent(kind="error", reason="KeyError: x")], "crash", "unexpected KeyError: x"),
    ],
)
def test_a_failed_task_fails_only_its_clip(tmp_path, events, stage, reason):
    pool = ScriptedPool(DONE, *events, DONE)
    assert run(pool, tmp_path, "a", "b", "c") == [
        Result(clip_id="a"),
        Result(clip_id="b", stage=stage, reason=reason),
        Result(clip_id="c"),
    ]
    assert pool.is_closed


@pytest.mark.parametrize(
    ("event", "engine", "error", "message"),
    [
        (replace(SETUP, error=FULL), "local", ExtractionError, "^full$"),
        (WorkerEvent(kind="error", error=FULL), "local", ExtractionError, "^full$"),
        (replace(SETUP, exit_code=-signal.SIGKILL), "local", ExtractionError, "--num_workers"),
        (replace(SETUP, exit_code=7, reason="exit code 7"), "local", RuntimeError, "exit code 7"),
        (replace(SETUP, reason="KeyError: 1"), "local", RuntimeError, "KeyError: 1"),
        (replace(SETUP, reason="KeyError: 1"), "ray", ExtractionError, "KeyError: 1"),
    ],
)
def test_an_error_that_affects_all_clips_is_raised(tmp_path, event, engine, error, message):
    pool = ScriptedPool(event)
    with pytest.raises(error, match=message):
        run(pool, tmp_path, "a", engine=engine)
    assert pool.is_closed


def progress(*, is_terminal):
    console = rich.console.Console(file=io.StringIO(), force_terminal=is_terminal, width=120)
    results = [Result(clip_id=stage, stage=stage) for stage in ("", "open", "")]
    assert list(show_progress(results, 3, console)) == results
    return console.file.getvalue()


def test_a_terminal_shows_the_number_of_done_and_failed_clips():
    text = progress(is_terminal=True)
    assert "clip 3/3" in text
    assert "1 failed" in text


def test_a_log_file_gets_one_line_per_interval(monkeypatch):
    assert progress(is_terminal=False) == ""
    monkeypatch.setattr(progress_lines, "LINE_SECONDS", 0.0)
    lines = progress(is_terminal=False).splitlines()
    assert len(lines) == 3
    assert lines[-1].startswith("clip 3/3")
    assert "1 failed" in lines[-1]
