"""CPU and memory use of a run, told to its journal every few seconds."""

import contextlib
import threading
from collections.abc import Iterator

import psutil

from pipeline.core.journal import Journal, read_events

SYSTEM = "system"


@contextlib.contextmanager
def system_metrics(
    journal: Journal, *, enabled: bool, interval_seconds: float = 5.0
) -> Iterator[None]:
    """Sample this process and its machine while the block runs, and once at its end.

    The names begin with `system/`, which MLflow shows on a page of their own. A run that is
    resumed goes on with the number of the next sample.
    """
    if not enabled:
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(
        target=_sample, args=(journal, stop, interval_seconds), name="system-metrics", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _sample(journal: Journal, stop: threading.Event, interval_seconds: float) -> None:
    process = psutil.Process()
    psutil.cpu_percent()  # the first reading is the baseline of the next
    step = sum(event.kind == SYSTEM for event in read_events(journal.path))
    is_last = False
    while not is_last:
        is_last = stop.wait(interval_seconds)
        memory = psutil.virtual_memory()
        metrics = {
            "system/cpu_utilization_percentage": psutil.cpu_percent(),
            "system/system_memory_usage_percentage": memory.percent,
            "system/process_memory_megabytes": process.memory_info().rss / 1e6,
        }
        journal.append(SYSTEM, step=step, metrics=metrics)
        step += 1
