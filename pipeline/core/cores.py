"""Number of CPU cores."""

import os


def num_usable_cores() -> int:
    """Return the number of cores that this process may use.

    A job scheduler, `taskset` or a container can allow fewer cores than the machine has. macOS
    and Windows have no such limit per process, so all cores count there.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
