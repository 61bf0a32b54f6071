"""A launcher process that imports TensorFlow once and forks a child process per command.

Importing TensorFlow takes 3 to 10 seconds, which is too long for hundreds of commands. The launcher
only imports TensorFlow. The threads of TensorFlow are started in the child processes.
"""

import contextlib
import importlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 240.0
INCOMPLETE = 3
PIPELINE = "pipeline.cli:main"


@dataclass(frozen=True)
class Ended:
    """Result of a command."""

    status: int
    """Exit status; -9 after SIGKILL, as in `subprocess`."""
    out: str
    err: str
    seconds: float
    peak_mb: float
    """Peak memory of the process in MB, including the memory of the launcher."""

    def error_line(self) -> str:
        """Return the only line of stderr that begins with `error:`, or "" if it is not unique."""
        lines = [line for line in self.err.splitlines() if line.startswith("error:")]
        return lines[0] if len(lines) == 1 else ""

    @property
    def has_traceback(self) -> bool:
        """True if Python printed a traceback."""
        return "Traceback (most recent call last)" in self.err + self.out


class Child:
    """A process that runs one command."""

    def __init__(self, launcher: "Launcher", log: Path) -> None:
        self._launcher = launcher
        self._log = log
        self.pid = 0
        self.report: dict[str, Any] | None = None

    def signal(self, number: int) -> None:
        """Send a signal to the process but not to its children."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill_all(self) -> None:
        """Kill the process and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def is_running(self) -> bool:
        """Return True if the process has not ended yet."""
        self._launcher.listen(0.0)
        return self.report is None

    def leave_running(self, seconds: float) -> bool:
        """Wait; return True if the process still runs at the end."""
        deadline = time.monotonic() + seconds
        while self.is_running() and time.monotonic() < deadline:
            time.sleep(0.005)
        return self.report is None

    def wait(self, timeout: float = TIMEOUT_SECONDS) -> Ended:
        """Return the result of the command; kill the process after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while self.report is None and time.monotonic() < deadline:
            self._launcher.listen(min(0.2, timeout))
        is_late = self.report is None
        if is_late:
            self.kill_all()
        while self.report is None:
            self._launcher.listen(0.2)
        out, err, status = (
            _read(self._log.with_suffix(end)) for end in (".out", ".err", ".status")
        )
        if is_late:
            err += f"\nerror: stopped after {timeout:.0f} s"
        return Ended(
            status=int(status or self.report["status"]),
            out=out,
            err=err,
            seconds=self.report["seconds"],
            peak_mb=self.report["peak_mb"],
        )


class Launcher:
    """Interface to the launcher process, which runs each command in a child process."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._directory = directory
        self._environment = {"MLFLOW_DISABLE_TELEMETRY": "true", **environment}
        self._numbers = itertools.count()
        self._children: dict[int, Child] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=Path(__file__).resolve().parents[3],
            env=self._environment | {"CUDA_VISIBLE_DEVICES": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(directory / "launcher.txt").open("w"),
            start_new_session=True,
        )
        self._buffer = b""

    def start(
        self,
        *argv: object,
        cwd: Path,
        environment: dict[str, str] | None = None,
        plan: dict[str, Any] | None = None,
        call: str = PIPELINE,
    ) -> Child:
        """Start a command.

        Args:
            argv: Arguments of the command.
            cwd: Working directory.
            environment: Environment variables in addition to those of the launcher.
            plan: Faults to inject, see `injection.install`.
            call: The function "module:function" to call with the arguments. It returns the status.
        """
        number = next(self._numbers)
        log = self._directory / f"{number:05d}"
        child = self._children[number] = Child(self, log)
        request = {
            "number": number,
            "argv": [str(argument) for argument in argv],
            "cwd": str(cwd),
            "environment": self._environment | (environment or {}),
            "plan": plan or {},
            "call": call,
            "log": str(log),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        while not child.pid:
            self.listen(1.0)
        return child

    def run(self, *argv: object, timeout: float = TIMEOUT_SECONDS, **options: Any) -> Ended:
        """Run a command and return its result."""
        return self.start(*argv, **options).wait(timeout)

    def delivered(self, ended: Ended, run_dir: object, *, cwd: Path) -> Ended:
        """Run `sync` if a slow machine has prevented a complete delivery to MLflow."""
        if ended.status != INCOMPLETE:
            return ended
        return self.run("sync", "--run_dir", run_dir, cwd=cwd)

    def listen(self, timeout: float) -> None:
        """Read reports of the launcher process for at most `timeout` seconds."""
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        if not select.select([handle], [], [], timeout)[0]:
            return
        read = os.read(handle, 65536)
        assert read, (
            f"the launcher process has ended: {_read(self._directory / 'launcher.txt')[-2000:]}"
        )
        self._buffer += read
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            report = json.loads(line)
            child = self._children[report.pop("number")]
            if "pid" in report:
                child.pid = report["pid"]
            else:
                child.report = report

    def close(self) -> None:
        """End the launcher process and all running commands."""
        for child in self._children.values():
            if child.report is None and child.pid:
                child.kill_all()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


# ---- The launcher process ----


def _serve() -> None:
    """Fork a child process per request until stdin is closed."""
    requests, reports = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    _import()
    children: dict[int, tuple[int, float]] = {}  # process id -> request number, start time
    buffer = b""
    is_open = True
    while is_open or children:
        if is_open and select.select([requests], [], [], 0.01)[0]:
            read = os.read(requests, 65536)
            is_open = bool(read)
            buffer += read
        if not is_open:  # the tests have ended
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            time.sleep(0.05)
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            request = json.loads(line)
            pid = os.fork()
            if pid == 0:
                os.close(requests)
                os.close(reports)
                _become(request)
            children[pid] = request["number"], time.monotonic()
            _report(reports, number=request["number"], pid=pid)
        _reap(children, reports)


def _import() -> None:
    os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3")
    for name in (
        "tensorflow",
        "keras",
        "mlflow.pyfunc",
        "mlflow.store.tracking.sqlalchemy_store",
        "mlflow.store.artifact.local_artifact_repo",
        "pipeline.commands.tables",
        "pipeline.workflows.evaluate",
        "pipeline.workflows.predict",
        "pipeline.workflows.sync",
        "pipeline.workflows.train",
    ):
        importlib.import_module(name)


def _reap(children: dict[int, tuple[int, float]], reports: int) -> None:
    for pid in list(children):
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            number, began = children.pop(pid)
            _report(
                reports,
                number=number,
                status=os.waitstatus_to_exitcode(status),
                seconds=time.monotonic() - began,
                peak_mb=usage.ru_maxrss / 1024,
            )


def _report(reports: int, **content: Any) -> None:
    os.write(reports, json.dumps(content).encode() + b"\n")


def _become(request: dict[str, Any]) -> None:
    """Run the command of a request in this process, and end the process."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    module, _, name = request["call"].partition(":")
    status = 1
    try:
        function = getattr(importlib.import_module(module), name)
        if request["plan"]:
            from tests.end_to_end.faults.injection import install

            install(request["plan"])
        status = _call(function, request["argv"], Path(request["log"]))
    finally:
        # This waits for all threads that are not daemons, like the end of a normal process.
        sys.exit(status)


def _call(function: Any, argv: list[str], log: Path) -> int:
    handle = os.open(log.with_suffix(".out"), os.O_WRONLY | os.O_CREAT)
    os.dup2(handle, 1)
    os.dup2(os.open(log.with_suffix(".err"), os.O_WRONLY | os.O_CREAT), 2)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1, closefd=False)
    try:
        status = int(function(argv))
    except SystemExit as stop:
        status = int(stop.code or 0) if not isinstance(stop.code, str) else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    with contextlib.suppress(OSError):
        log.with_suffix(".status").write_text(str(status))
    return status


if __name__ == "__main__":
    _serve()
