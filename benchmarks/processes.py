"""Run commands and measurement processes: duration and peak memory."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import psutil

from benchmarks.machine import REPOSITORY

_SAMPLE_SECONDS: Final = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A finished command."""

    began: float
    """Start, in seconds since 1970."""
    seconds: float
    output: str
    peak_mb: float = 0.0
    """Peak memory (RSS) of the command and its child processes together; 0 if not measured."""
    peak_private_mb: float = 0.0
    """Peak of the same memory without pages of files, which the system can free."""
    peak_child_mb: float = 0.0
    """Peak memory (RSS) of its largest child process; 0 if not measured or without children."""


def environment(work_dir: Path) -> dict[str, str]:
    """Return the environment for a measured process, with a new MLflow store in `work_dir`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MLFLOW_", "KERAS_", "TF_"))
    }
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH", ""))))
    return {
        **kept,
        "PYTHONPATH": path,
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "MLFLOW_TRACKING_URI": f"sqlite:///{work_dir / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def run_command(
    arguments: Sequence[object],
    *,
    work_dir: Path,
    watches_memory: bool = False,
    stop_after: float | None = None,
) -> Finished:
    """Run `python ARGUMENTS` and measure its duration.

    Args:
        arguments: Arguments of Python, e.g. `-m`, `pipeline`, `train`.
        work_dir: Working directory, which also contains the MLflow store.
        watches_memory: Whether to measure the memory, every 0.2 seconds.
        stop_after: Seconds until the command is interrupted, like with Ctrl-C. None: never.

    Raises:
        RuntimeError: If the command fails. The message contains the end of its output.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        began, start = time.time(), time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=work_dir,
            env=environment(work_dir),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        memory = _MemoryWatch(process.pid) if watches_memory else None
        was_stopped = False
        try:
            output, _ = process.communicate(timeout=stop_after)
        except subprocess.TimeoutExpired:
            was_stopped = True
            process.send_signal(signal.SIGTERM)  # a shell lets background jobs ignore SIGINT
            output, _ = process.communicate()
        except BaseException:
            process.kill()
            raise
        finally:
            if memory is not None:
                memory.stop()
        seconds = time.perf_counter() - start
        if process.returncode and not was_stopped:
            raise RuntimeError(
                f"{' '.join(map(str, arguments))}: exit status {process.returncode}\n"
                f"{output[-2000:]}\n{_tail(errors)}"
            )
    return Finished(
        began=began,
        seconds=seconds,
        output=output,
        **(memory.peaks if memory else {}),
    )


class Measurer:
    """A process that calls the function `measure` of a module, once per request.

    The process imports TensorFlow once. Its settings, such as patches by MLflow, do not affect the
    other measurements.
    """

    def __init__(self, module: str, work_dir: Path) -> None:
        self._module = module
        work_dir.mkdir(parents=True, exist_ok=True)
        self._errors_path = work_dir / "errors.txt"
        self._errors = self._errors_path.open("w", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.measurer", module],
            cwd=work_dir,
            env=environment(work_dir),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def measure(self, **job: Any) -> dict[str, Any]:
        """Call `measure(**job)` in the process, and return its result.

        Raises:
            RuntimeError: If the call fails. The message contains the end of the error output.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(job), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            errors = self._errors_path.read_text("utf-8", errors="replace")
            raise RuntimeError(f"{self._module}: failed\n{errors[-3000:]}")
        result: dict[str, Any] = json.loads(line)
        return result

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
        self._errors.close()


@contextlib.contextmanager
def measurer(module: str, work_dir: Path) -> Iterator[Measurer]:
    """Start a process that calls `measure` of `module`, and end the process afterwards."""
    started = Measurer(module, work_dir)
    try:
        yield started
    finally:
        started.close()


class _MemoryWatch:
    """Peak memory of a process and its descendants, from samples."""

    def __init__(self, process_id: int) -> None:
        self.peaks = {"peak_mb": 0.0, "peak_private_mb": 0.0, "peak_child_mb": 0.0}
        self._process = psutil.Process(process_id)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            with contextlib.suppress(psutil.Error):
                children = self._process.children(recursive=True)
                memory = [_memory_mb(process) for process in (self._process, *children)]
                sample = {
                    "peak_mb": sum(rss for rss, _ in memory),
                    "peak_private_mb": sum(private for _, private in memory),
                    "peak_child_mb": max((rss for rss, _ in memory[1:]), default=0.0),
                }
                self.peaks = {name: max(self.peaks[name], sample[name]) for name in sample}


def _memory_mb(process: psutil.Process) -> tuple[float, float]:
    """Return the resident memory of a process, with and without pages of files."""
    try:
        memory = process.memory_info()
    except psutil.Error:
        return 0.0, 0.0  # the process has ended
    # Only Linux has the attribute `shared`.
    return memory.rss / 1e6, (memory.rss - getattr(memory, "shared", 0)) / 1e6


def _tail(file: IO[str]) -> str:
    file.seek(0)
    return file.read()[-3000:]
