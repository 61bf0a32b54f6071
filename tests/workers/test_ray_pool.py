"""Ray actors share the GPUs of a cluster. A cluster without enough cores is an error."""

import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from pipeline.core.errors import WorkerError
from pipeline.workers.ray_pool import RayPool, choose_workers_per_gpu, count_places, gpu_part
from tests.workers.odd_work import run, set_up

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytest.importorskip("ray.cluster_utils")


@pytest.fixture
def open_pool(monkeypatch):
    """Return a function that opens a pool on a new cluster with one node."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)  # would hide the GPUs of Ray
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
    """Actor that occupies a core of the cluster."""


@pytest.mark.slow
@pytest.mark.odd_cluster
def test_a_cluster_with_one_core_runs_all_tasks(open_pool, caplog):
    events = run(open_pool({"num_cpus": 1}, num_workers=2), "good-1", "good-2", "good-3")
    assert [event.kind for event in events] == ["result"] * 3
    assert len({event.worker for event in events}) == 1
    assert "can run only 1 of the 2 workers at a time" in caplog.text


@pytest.mark.slow
@pytest.mark.odd_cluster
def test_tasks_do_not_wait_for_an_actor_without_a_core(open_pool):
    pool = open_pool({"num_cpus": 2}, num_held=1, num_workers=2, time_limit_seconds=3.0)
    events = run(pool, *["slow"] * 3)
    assert [event.kind for event in events] == ["result"] * 3


@pytest.mark.slow
@pytest.mark.odd_cluster
def test_a_set_up_without_a_free_core_fails(open_pool):
    pool = open_pool({"num_cpus": 1}, num_held=1, num_workers=1, setup_seconds=3.0)
    (event,) = run(pool, "good-1")
    assert event.kind == "setup_failed"
    assert "free core of the cluster" in event.reason


@pytest.mark.slow
@pytest.mark.odd_cluster
def test_two_workers_share_the_only_gpu(open_pool, caplog):
    pool = open_pool({"num_cpus": 2, "num_gpus": 1}, num_workers=2, uses_gpus=True)
    events = run(pool, *["slow"] * 6, "gpus", "gpus")
    assert [event.result for event in events if event.task == "gpus"] == ["0", "0"]
    assert len({event.worker for event in events}) == 2
    assert caplog.text == ""


@pytest.mark.slow
@pytest.mark.odd_cluster
def test_nodes_with_too_few_cores_are_an_error(open_pool):
    with pytest.raises(WorkerError, match=r"needs 2 cores, .* \(cores per node: 1\)"):
        open_pool({"num_cpus": 1}, num_workers=1, num_cores=2)
    assert not ray.is_initialized()


@pytest.mark.slow
@pytest.mark.odd_cluster
def test_a_running_local_cluster_is_joined_on_request(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:  # socket paths must be short
        monkeypatch.setenv("RAY_TMPDIR", directory)
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
        options = ["--port=0", "--num-cpus=3", "--include-dashboard=false"]
        head = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
        try:
            while not list(Path(directory).rglob("ray_current_cluster")):
                assert head.poll() is None
                time.sleep(0.5)
            for joins_local_cluster, num_cores in ((True, 3), (False, 1)):
                pool = RayPool(set_up, num_workers=1, joins_local_cluster=joins_local_cluster)
                with contextlib.closing(pool):
                    assert ray.cluster_resources()["CPU"] == num_cores
                    assert [event.kind for event in run(pool, "good-1")] == ["result"]
        finally:
            head.terminate()
            head.wait()


def test_an_unreachable_cluster_is_an_error(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(WorkerError, match=r"the Ray cluster 127.0.0.1:1 cannot be used"):
        RayPool(set_up, num_workers=1)


@pytest.mark.parametrize(
    ("num_workers", "resources", "workers_per_gpu", "num_places"),
    [
        (2, [(16, 0), (16, 0)], 0, 16),
        (4, [(16, 1), (16, 0)], 4, 4),
        (4, [(16, 2), (16, 1)], 2, 6),
        (3, [(16, 4)], 1, 4),
        (6, [(16, 1)], 6, 6),
        (20, [(16, 1)], 20, 8),  # the cores are the limit
        (20, [(4, 1), (32, 0)], 0, 18),  # too few cores on the GPU node
        (4, [(0, 1), (32, 0)], 0, 16),
        (4, [(0, 1)], 0, 0),
        (4, [], 0, 0),
    ],
)
def test_gpus_are_shared_if_all_workers_fit(num_workers, resources, workers_per_gpu, num_places):
    nodes = [{"CPU": float(cores), "GPU": float(gpus)} for cores, gpus in resources]
    assert choose_workers_per_gpu(nodes, num_workers=num_workers, num_cores=2) == workers_per_gpu
    assert count_places(nodes, 2, workers_per_gpu) == num_places


@pytest.mark.parametrize("number", range(1, 100))
def test_the_parts_of_all_workers_fit_on_one_gpu(number):
    parts = 10_000 * gpu_part(number)  # in units of Ray
    assert parts == pytest.approx(round(parts), abs=1e-6)
    assert round(parts) * number <= 10_000
    assert round(parts) >= 1
    assert gpu_part(0) == 0
