"""Names for worker processes, unique across machines, reboots and containers."""

import functools
import hashlib
import os
import platform
import uuid
from pathlib import Path

import psutil


def worker_name(process_id: int | None = None) -> str:
    """Return the name for a process on this machine. The default is the current process."""
    return f"{_machine()}-{process_id or os.getpid()}"


def is_of_this_machine(worker: str) -> bool:
    """Return True if a worker was started on this machine since the last boot."""
    return worker.rpartition("-")[0] == _machine()


def has_ended(worker: str) -> bool:
    """Return True if a worker on this machine has ended; False for workers on other machines."""
    return is_of_this_machine(worker) and not psutil.pid_exists(int(worker.rpartition("-")[2]))


@functools.cache
def _machine() -> str:
    # Containers can have equal host names, boot ids and process ids, but their PID namespaces
    # differ. The boot id differs between hosts and between reboots.
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux
        boot, namespace = str(psutil.boot_time()), str(uuid.getnode())
    scope = hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()
    return f"{platform.node()}-{scope[:8]}"
