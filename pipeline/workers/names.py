"""Names of worker processes, unique across machines, restarts and containers."""

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
    """Return whether a worker ran on this machine since its last start."""
    return worker.rpartition("-")[0] == _machine()


def has_ended(worker: str) -> bool:
    """Return whether a worker of this machine has ended; False for workers of other machines."""
    return is_of_this_machine(worker) and not psutil.pid_exists(int(worker.rpartition("-")[2]))


@functools.cache
def _machine() -> str:
    # Containers may share host name, kernel and process ids, but have different PID namespaces.
    # The boot id differs between hosts and between restarts.
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux
        boot, namespace = str(psutil.boot_time()), str(uuid.getnode())
    scope = hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()
    return f"{platform.node()}-{scope[:8]}"
