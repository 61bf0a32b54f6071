"""Pools of processes and of Ray actors behave alike. A failed task affects no other task."""

import contextlib
import os

import psutil
import pytest

from pipeline.workers.process_pool import ProcessPool
from pipeline.workers.ray_pool import RayPool
from tests.workers.odd_work import (
    run,
    set_up,
    set_up_and_die,
    set_up_forever,
    set_up_with_bug,
    set_up_without_weights,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


@pytest.fixture(params=[ProcessPool, RayPool], ids=["local", "ray"])
def open_pool(request):
    """Return a function that opens a pool, closed at the end of the test."""
    if request.param is RayPool:
        request.getfixturevalue("cluster")
    with contextlib.ExitStack() as stack:

        def open_pool(setup=set_up, *, num_workers=2, **limits):
            return stack.enter_context(
                contextlib.closing(request.param(setup, num_workers=num_workers, **limits))
            )

        yield open_pool


def test_every_task_runs_once(open_pool):
    pool = open_pool(num_workers=2)
    tasks = [f"good-{number}" for number in range(9)]
    events = run(pool, *tasks)
    workers = {event.worker for event in events}
    assert sorted(event.task for event in events) == tasks
    assert all(event.result == f"{event.task} done" for event in events)
    assert 1 <= len(workers) <= 2
    assert all(pool.owns(worker) for worker in workers)
    assert not any(worker.endswith(f"-{os.getpid()}") for worker in workers)
    assert not pool.owns("another-machine-7")


@pytest.mark.parametrize(
    ("task", "kind", "reason"),
    [
        ("dies", "death", ""),
        ("hangs", "timeout", ""),
        ("full", "error", "WorkerError: no space left"),
        ("bug", "error", "ZeroDivisionError: by zero"),
    ],
)
def test_a_failed_task_does_not_affect_other_tasks(open_pool, task, kind, reason):
    events = run(open_pool(num_workers=1, time_limit_seconds=1.0), "good-1", task, "good-2")
    assert [event.kind for event in events] == ["result", kind, "result"]
    assert events[1].task == task
    assert reason in events[1].reason
    assert events[1].exit_code in ((3, None) if task == "dies" else (None,))
    assert str(events[1].error) == ("no space left" if task == "full" else "None")


@pytest.mark.parametrize(
    ("setup", "reason"),
    [
        (set_up_without_weights, "WorkerError: weights are missing"),
        (set_up_with_bug, "ValueError: Key backend: 'module://x' is not a valid value"),
        (set_up_and_die, ""),
        (set_up_forever, "no worker was ready after 2 s"),
    ],
)
def test_a_failed_set_up_has_a_reason_and_keeps_the_task(open_pool, setup, reason):
    pool = open_pool(setup, num_workers=1, setup_seconds=2.0)
    (event,) = run(pool, "good-1")
    assert (event.kind, event.task) == ("setup_failed", None)
    assert reason in event.reason
    assert pool.num_busy == 1


def test_a_worker_is_replaced_after_max_tasks(open_pool):
    events = run(open_pool(num_workers=1, max_tasks=3), *["good"] * 7)
    workers = [event.worker for event in events]
    assert [workers.count(worker) for worker in dict.fromkeys(workers)] == [3, 3, 1]


def test_closing_a_pool_ends_busy_workers(open_pool):
    pool = open_pool(num_workers=1)
    (event,) = run(pool, "good-1")
    process = psutil.Process(int(event.worker.rpartition("-")[2]))
    pool.submit("hangs")
    assert pool.wait(0.5) == []
    pool.close()
    assert psutil.wait_procs([process], timeout=20)[1] == []
    assert pool.num_busy == 0
