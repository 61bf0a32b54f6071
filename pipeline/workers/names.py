"""Names of worker processes, which differ between machines, restarts and containers."""

import functools
import hashlib
import os
import platform
import uuid
from pathlib import Path

import psutil


def worker_name(process_id: int | None = None) -> str:
    """Return the name of a process of this machine, by default of this process."""
    return f"{_machine()}-{process_id or os.getpid()}"


def is_of_this_machine(worker: str) -> bool:
    """Return whether a worker is or was a process of this machine since its last start."""
    return worker.rpartition("-")[0] == _machine()


def is_gone(worker: str) -> bool:
    """Return whether a worker is known to have ended; False for workers of other machines."""
    return is_of_this_machine(worker) and not psutil.pid_exists(int(worker.rpartition("-")[2]))


@functools.cache
def _machine() -> str:
    """Return the host name with a digest of what makes process ids unique.

    Two containers may share the host name, the kernel and even the process ids. They differ in
    the PID namespace. The boot id tells two hosts apart, and one host before and after a restart.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # no Linux
        boot, namespace = str(psutil.boot_time()), str(uuid.getnode())
    digest = hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()
    return f"{platform.node()}-{digest[:8]}"
