"""A helper process runs tasks, ends with its parent, and never imports the main module."""

import contextlib
import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from pipeline.workers.helper_process import HelperProcess
from tests.waiting import wait_until

SETUP = "tests.workers.odd_work:set_up"


@pytest.fixture
def helper():
    with contextlib.closing(HelperProcess(SETUP)) as helper:
        yield helper


def test_tasks_run_one_after_the_other(helper):
    assert [helper.call(task).result for task in ("a", "b")] == ["a done", "b done"]


@pytest.mark.parametrize(
    ("task", "kind"), [("bug", "error"), ("full", "error"), ("dies", "death"), ("noise", "result")]
)
def test_the_end_of_a_task_is_reported(helper, task, kind):
    assert helper.call(task).kind == kind


@pytest.mark.parametrize("setup", ["tests.workers.odd_work:set_up_with_bug", "no_module:f"])
def test_a_failed_setup_is_reported_as_a_death(setup, capfd):
    with contextlib.closing(HelperProcess(setup)) as helper:
        assert helper.call("a").kind == "death"
    assert capfd.readouterr().err == ""


def test_a_helper_imports_the_package_of_its_parent(tmp_path, monkeypatch):
    (tmp_path / "pipeline.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    with contextlib.closing(HelperProcess("pipeline.figures.gallery:build_drawing_work")) as helper:
        assert helper.wait_for_setup().kind == "result"


def test_the_setup_gets_its_arguments_and_reports_its_end(tmp_path):
    with contextlib.closing(HelperProcess(SETUP, tmp_path)) as helper:
        assert helper.wait_for_setup().kind == "result"


def test_a_task_of_a_closed_helper_is_interrupted(tmp_path, capfd):
    helper = HelperProcess(SETUP, tmp_path)
    events = []
    thread = threading.Thread(target=lambda: events.append(helper.call("task")))
    thread.start()
    wait_until((tmp_path / "task begins").exists)
    helper.close()
    thread.join()
    assert [event.kind for event in events] == ["death"]
    assert (tmp_path / "task ends").exists()
    assert capfd.readouterr().err == ""


def test_a_closed_helper_has_ended():
    before = psutil.Process().children()
    helper = HelperProcess(SETUP)
    helper.close()
    assert psutil.Process().children() == before
    assert helper.call("a").kind == "death"


PROGRAM = """
import sys, time
from pipeline.workers.helper_process import HelperProcess
helper = HelperProcess("tests.workers.odd_work:set_up")
print(helper.call("pid").result, flush=True)
{end}
"""


def start(repository, tmp_path, end):
    """Run a script without a main guard; return its process and the process id of its helper."""
    script = tmp_path / "script.py"
    script.write_text(PROGRAM.format(end=end))
    program = subprocess.Popen(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    return program, int(program.stdout.readline())


@pytest.mark.parametrize("end", ["time.sleep(60)", "helper.call('hangs')"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_helper_ends_silently_with_its_parent(repository, tmp_path, number, end):
    program, helper = start(repository, tmp_path, end)
    os.killpg(program.pid, number)
    _, err = program.communicate(timeout=30)
    wait_until(lambda: not psutil.pid_exists(helper))
    assert err.count("Traceback") == (number == signal.SIGINT)


def test_a_helper_that_is_busy_ends_silently_with_its_parent(repository, tmp_path):
    end = "helper.send('slow'); print('sent', flush=True); time.sleep(60)"
    program, _ = start(repository, tmp_path, end)
    assert program.stdout.readline() == "sent\n"
    os.killpg(program.pid, signal.SIGKILL)
    _, err = program.communicate(timeout=30)  # this waits for the helper, which has the same stderr
    assert err == ""


def test_a_script_without_a_main_guard_runs_once(repository, tmp_path):
    program, helper = start(repository, tmp_path, "print('end')")
    with program:
        assert (program.stdout.read(), program.stderr.read()) == ("end\n", "")
    assert helper != program.pid
