"""CPU and memory use of a run, told to its run log every few seconds."""

import contextlib
import threading
from collections.abc import Iterator

import psutil

from pipeline.core.run_log import SYSTEM_METRICS, RunLog, read_events


@contextlib.contextmanager
def system_metrics(
    run_log: RunLog, *, enabled: bool, interval_seconds: float = 5.0
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
        target=_sample, args=(run_log, stop, interval_seconds), name="system-metrics", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _sample(run_log: RunLog, stop: threading.Event, interval_seconds: float) -> None:
    process = psutil.Process()
    psutil.cpu_percent()  # the first reading is the baseline of the next
    step = sum(event.kind == SYSTEM_METRICS for event in read_events(run_log.path))
    is_last = False
    while not is_last:
        is_last = stop.wait(interval_seconds)
        memory = psutil.virtual_memory()
        metrics = {
            "system/cpu_utilization_percentage": psutil.cpu_percent(),
            "system/system_memory_usage_percentage": memory.percent,
            "system/process_memory_megabytes": process.memory_info().rss / 1e6,
        }
        run_log.log_system_metrics(metrics, step=step)
        step += 1
