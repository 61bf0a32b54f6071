"""Workers as Ray actors: two of them on a cluster that is started here."""

import functools
import os

import pytest

from pipeline.core.errors import SearchError
from pipeline.search.coordinator import Coordinator, Limits
from pipeline.search.retries import Retry
from pipeline.search.study import open_study
from tests.search.quick_worker import start_gpu_worker, start_quick_worker

pytest.importorskip("ray", reason="Ray is not installed (extra `ray`)")

from ray.cluster_utils import Cluster

from pipeline.search.cluster import RayPool


@pytest.fixture(scope="module", autouse=True)
def _findable(repository):
    """Actors are processes of their own, which find the tests by this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(repository))
        yield


@pytest.fixture
def job(make_job, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return make_job()


@pytest.fixture(scope="module")
def start_cluster():
    """Return a function that starts a cluster of one node, or gives the one that is there."""
    started = {}

    def start(**resources):
        key = tuple(resources.items())
        if key not in started:
            started[key] = Cluster(
                initialize_head=True, head_node_args={**resources, "include_dashboard": False}
            )
        return started[key]

    yield start
    for cluster in started.values():
        cluster.shutdown()


@pytest.fixture
def join_cluster(job, start_cluster, monkeypatch):
    """Return a function that names a cluster of one node, which a search then joins."""
    return lambda **resources: monkeypatch.setenv("RAY_ADDRESS", start_cluster(**resources).address)


def search(job, num_trials, start):
    study = open_study(job, features_digest="1")
    pool = RayPool(start, num_workers=2)
    lost = []
    coordinator = Coordinator(
        study=study,
        pool=pool,
        limits=Limits(num_trials=num_trials, timeout_seconds=None),
        retry=Retry(max_retries=2),
        heartbeat_seconds=1,
        on_end=lambda trial: None,
        on_lost=lambda trial, is_retried: lost.append(trial.number),
        on_tick=lambda standing: None,
    )
    try:
        return coordinator.run(), study.get_trials(), lost
    finally:
        pool.close()


@pytest.mark.slow
def test_two_actors_lose_no_trial_and_run_none_twice(job):
    standing, trials, lost = search(job, 12, functools.partial(start_quick_worker, job))
    ran = (job.study_dir / "ran.txt").read_text().split()
    workers = {trial.user_attrs["worker"] for trial in trials}
    assert (standing.num_complete, lost) == (12, [])
    assert sorted(map(int, ran)) == list(range(12))
    assert len(workers) == 2
    assert not any(worker.endswith(f"-{os.getpid()}") for worker in workers)


@pytest.mark.slow
@pytest.mark.odd_cluster
def test_a_cluster_with_room_for_one_actor_runs_all_trials(job, join_cluster, caplog):
    join_cluster(num_cpus=1)
    standing, trials, _ = search(job, 3, functools.partial(start_quick_worker, job))
    assert standing.num_complete == 3
    assert len({trial.user_attrs["worker"] for trial in trials}) == 1
    assert "has room for 1 of the 2 workers at a time" in caplog.text


@pytest.mark.slow
@pytest.mark.odd_cluster
def test_a_cluster_of_too_small_nodes_is_refused(job, join_cluster):
    join_cluster(num_cpus=1)
    with pytest.raises(SearchError, match=r"has the 2 cores .* \(cores of its nodes: 1\)"):
        RayPool(functools.partial(start_quick_worker, job), num_workers=1, num_threads=2)


@pytest.mark.slow
@pytest.mark.odd_cluster
def test_two_workers_share_the_only_gpu(job, join_cluster, monkeypatch, caplog):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)  # it would name Ray's GPUs
    join_cluster(num_cpus=2, num_gpus=1)
    standing, trials, _ = search(job, 4, functools.partial(start_gpu_worker, job))
    assert standing.num_complete == 4
    assert {trial.user_attrs["gpus"] for trial in trials} == {"0"}
    assert len({trial.user_attrs["worker"] for trial in trials}) == 2
    assert caplog.text == ""


def test_a_cluster_that_is_not_there_is_refused(job, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(SearchError, match=r"the Ray cluster 127.0.0.1:1 cannot be used"):
        RayPool(functools.partial(start_quick_worker, job), num_workers=1)
