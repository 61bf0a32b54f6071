"""Injection of faults into a process that runs a command.

A *boundary* is the moment before a process changes a file of its run directory or calls MLflow.
Python's audit events report the boundaries, so the pipeline needs no hooks.
"""

import functools
import json
import os
import re
import resource
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

_WRITING = os.O_WRONLY | os.O_RDWR
_CLIENT_CALLS = ("create_", "log_", "set_", "update_", "delete_")
_RANDOM = re.compile(r"\.[0-9a-f]{8}(?=\.|$)")


class Boundary(NamedTuple):
    """A moment before a change."""

    phase: str
    """Content of `checkpoints/LAST`; "" before the first checkpoint."""
    name: str
    """The change, e.g. `rename checkpoints/LAST`."""
    count: int
    """Number of equal changes in this phase and process so far, including this change."""


class _Watch:
    """Recorder of the boundaries of a run, which can kill the process at a boundary."""

    def __init__(self, run_dir: Path, kill_at: Boundary | None) -> None:
        self._root = str(run_dir)
        self._last = run_dir / "checkpoints" / "LAST"
        self._kill_at = kill_at
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self.seen: list[Boundary] = []

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                self._change("open", path)
        elif event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"):
            # The second argument of a rename is the new path.
            self._change(event[3:], arguments[1] if event == "os.rename" else arguments[0])

    def fsync(self, handle: Any) -> None:
        number = handle if isinstance(handle, int) else handle.fileno()
        path = str(Path(f"/proc/self/fd/{number}").readlink())
        self._change("fsync", path)
        if path.endswith(".jsonl"):
            self._change("torn", path, before_the_kill=lambda: _tear(number))
        _fsync(handle)

    def called(self, name: str) -> None:
        self._count(f"mlflow {name}")

    def _change(
        self, kind: str, path: Any, before_the_kill: Callable[[], None] = lambda: None
    ) -> None:
        name = self._relative(path)
        if name is not None:
            self._count(f"{kind} {_RANDOM.sub('', name)}", before_the_kill)

    def _relative(self, path: Any) -> str | None:
        """Return a path relative to the run directory, or None if it is outside."""
        if not isinstance(path, str | bytes | os.PathLike):
            return None
        full = os.path.join(os.getcwd(), os.fsdecode(path))  # noqa: PTH109, PTH118
        if full != self._root and not full.startswith(self._root + os.sep):
            return None
        return os.path.relpath(full, self._root)

    def _count(self, name: str, before_the_kill: Callable[[], None] = lambda: None) -> None:
        phase = self._last.read_text().strip() if self._last.exists() else ""
        with self._lock:
            self._counts[phase, name] += 1
            boundary = Boundary(phase, name, self._counts[phase, name])
            self.seen.append(boundary)
            if boundary == self._kill_at:
                before_the_kill()
                os.kill(os.getpid(), signal.SIGKILL)


_fsync = os.fsync


def install(plan: dict[str, Any]) -> None:
    """Inject faults into this process.

    Args:
        plan: Faults by name. `largest_file` limits the size of files, in bytes. If there is a
            `run_dir`, `kill_at` is the boundary of a SIGKILL, and `trace` is the file to which
            all boundaries are written at the end of the process.
    """
    if "largest_file" in plan:
        resource.setrlimit(resource.RLIMIT_FSIZE, (plan["largest_file"], resource.RLIM_INFINITY))
    if "run_dir" not in plan:
        return
    kill_at = Boundary(*plan["kill_at"]) if "kill_at" in plan else None
    watch = _Watch(Path(plan["run_dir"]), kill_at)
    sys.addaudithook(watch.audit)
    os.fsync = watch.fsync
    _watch_client(watch)
    if "trace" in plan:
        import atexit

        atexit.register(lambda: Path(plan["trace"]).write_text(json.dumps(watch.seen)))


def _watch_client(watch: _Watch) -> None:
    """Count the beginning and the end of each call that changes the MLflow store."""
    from mlflow import MlflowClient

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def counted(*arguments: Any, **options: Any) -> Any:
            watch.called(f"{name} begins")
            result = call(*arguments, **options)
            watch.called(f"{name} is done")
            return result

        return counted

    for name, call in vars(MlflowClient).items():
        if name.startswith(_CLIENT_CALLS) and callable(call):
            setattr(MlflowClient, name, watched(name, call))


def _tear(handle: int) -> None:
    """Truncate the last line of a file to its half, like a kill during a write."""
    content = Path(f"/proc/self/fd/{handle}").read_bytes()
    begin = content.rfind(b"\n", 0, len(content) - 1) + 1
    os.truncate(handle, begin + (len(content) - begin) // 2)
