import contextlib
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from pipeline.core.interrupts import (
    check_interrupt,
    interrupt_handlers,
    interrupts_restored,
    kept_handlers,
)

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGXCPU")

COMMAND = """
import sys, time
from pipeline import cli

def run(arguments):
    print("started", flush=True)
    time.sleep(60)

cli.COMMANDS["sync"].run = run
sys.exit(cli.main(["sync"]))
"""


@pytest.fixture
def start(repository):
    with contextlib.ExitStack() as stack:

        def start(*arguments, **options):
            process = subprocess.Popen(
                arguments,
                cwd=repository,
                env={**os.environ, "PYTHONPATH": str(repository)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                **options,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_ends_a_command_with_one_line_and_its_own_status(start, name):
    process = start(sys.executable, "-c", COMMAND)
    assert process.stdout.readline() == "started\n"
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + getattr(signal, name)
    assert err == "error: interrupted.\n"


def test_sighup_does_not_end_a_command_under_nohup(start):
    process = start("nohup", sys.executable, "-c", COMMAND)
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)


@pytest.fixture
def start_parent(start):
    """A function that starts a parent process, and returns it with its worker process."""

    def start_parent(name):
        process = start(sys.executable, "-m", "tests.core.sleeping_worker", name)
        return process, psutil.Process(int(process.stdout.readline()))

    return start_parent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parent", "name"),
    [
        ("start_process", "SIGKILL"),
        ("start_process", "SIGTERM"),
        ("start_process", "SIGSEGV"),
        ("start_pool", "SIGKILL"),
    ],
)
def test_a_worker_ends_with_its_parent_process(start_parent, parent, name):
    process, worker = start_parent(parent)
    process.send_signal(getattr(signal, name))
    assert psutil.wait_procs([worker], timeout=20) == ([worker], [])


def test_a_worker_ignores_signals_to_its_process_group(start_parent):
    _, worker = start_parent("start_process")
    for name in ("SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"):
        worker.send_signal(getattr(signal, name))
    time.sleep(0.5)
    assert worker.is_running()
    assert worker.status() != psutil.STATUS_ZOMBIE


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_lost_in_a_destructor_is_raised_at_the_next_check_and_not_printed(capsys):
    class Cache:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)

    with interrupt_handlers():
        check_interrupt()
        Cache()
        with pytest.raises(KeyboardInterrupt):
            check_interrupt()
    with interrupt_handlers():
        check_interrupt()
    assert capsys.readouterr().err == ""


def test_an_error_after_a_lost_interrupt_becomes_an_interrupt():
    with interrupt_handlers():
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), interrupts_restored():
            raise TypeError("cannot convert None")
    with pytest.raises(TypeError), interrupts_restored():
        raise TypeError("cannot convert None")


def test_an_error_that_native_code_prints_after_an_interrupt_is_not_shown(capsys):
    with interrupt_handlers():
        sys.excepthook(SystemError, SystemError("before the signal"), None)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        sys.excepthook(SystemError, SystemError("after the signal"), None)
    assert capsys.readouterr().err == "SystemError: before the signal\n"


def test_two_signals_at_once_are_one_request():
    with interrupt_handlers():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_library_cannot_replace_the_handlers():
    with interrupt_handlers():
        handler = signal.getsignal(signal.SIGTERM)
        with kept_handlers():
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(15))
        assert signal.getsignal(signal.SIGTERM) is handler
