"""Ray actors find their place on a cluster, and a cluster without room is an error."""

import contextlib

import pytest

from pipeline.core.errors import WorkerError
from pipeline.workers.ray_pool import RayPool
from tests.workers.odd_work import run, set_up

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytest.importorskip("ray.cluster_utils")


@pytest.fixture
def open_pool(monkeypatch):
    """Return a function that starts a cluster with one node, and opens a pool on it."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)  # it would name Ray's GPUs
    with contextlib.ExitStack() as stack:

        def open_pool(node, num_held=0, **options):
            cluster = ray.cluster_utils.Cluster(
                initialize_head=True, head_node_args={**node, "include_dashboard": False}
            )
            stack.callback(cluster.shutdown)
            monkeypatch.setenv("RAY_ADDRESS", cluster.address)
            pool = stack.enter_context(contextlib.closing(RayPool(set_up, **options)))
            holders = [ray.remote(num_cpus=1)(Holder).remote() for _ in range(num_held)]
            ray.get([holder.__ray_ready__.remote() for holder in holders])
            stack.callback(holders.clear)
            return pool

        yield open_pool


class Holder:
    """Holds a processor of the cluster."""


@pytest.mark.slow
@pytest.mark.odd_cluster
def test_a_cluster_with_room_for_one_actor_does_all_tasks(open_pool, caplog):
    events = run(open_pool({"num_cpus": 1}, num_workers=2), "good-1", "good-2", "good-3")
    assert [event.kind for event in events] == ["result"] * 3
    assert len({event.worker for event in events}) == 1
    assert "has room for 1 of the 2 workers at a time" in caplog.text


@pytest.mark.slow
@pytest.mark.odd_cluster
def test_tasks_do_not_wait_for_an_actor_without_a_processor(open_pool):
    pool = open_pool({"num_cpus": 2}, num_held=1, num_workers=2, time_limit_seconds=3.0)
    events = run(pool, *["slow"] * 3)
    assert [event.kind for event in events] == ["result"] * 3


@pytest.mark.slow
@pytest.mark.odd_cluster
def test_a_cluster_without_a_free_processor_is_named(open_pool):
    (event,) = run(
        open_pool({"num_cpus": 1}, num_held=1, num_workers=1, setup_seconds=3.0), "good-1"
    )
    assert event.kind == "setup_failed"
    assert "free processor of the cluster" in event.reason


@pytest.mark.slow
@pytest.mark.odd_cluster
def test_two_workers_share_the_only_gpu(open_pool, caplog):
    pool = open_pool({"num_cpus": 2, "num_gpus": 1}, num_workers=2, uses_gpus=True)
    events = run(pool, "slow-1", "slow-2", "gpus", "gpus")
    assert [event.result for event in events[-2:]] == ["0", "0"]
    assert len({event.worker for event in events}) == 2
    assert caplog.text == ""


@pytest.mark.slow
@pytest.mark.odd_cluster
def test_nodes_that_are_too_small_are_an_error(open_pool):
    with pytest.raises(WorkerError, match=r"has the 2 cores .* \(cores of its nodes: 1\)"):
        open_pool({"num_cpus": 1}, num_workers=1, num_cores=2)
    assert not ray.is_initialized()


def test_a_cluster_that_does_not_answer_is_an_error(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(WorkerError, match=r"the Ray cluster 127.0.0.1:1 cannot be used"):
        RayPool(set_up, num_workers=1)
